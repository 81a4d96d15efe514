import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { metricColumn } from "@lapidary/api/train-series";
import { axisText, chartGroups, heldoutPoints, metricText } from "./metric-charts.js";

const columns = (...names: string[]): string[] => ["loss", "step_ms", ...names.map(metricColumn)];

describe("charts of metrics", () => {
  it("every metric of train rows and evaluations has a chart, but the times of phases and the columns of every recipe have none", () => {
    const evals = [{ metrics: { accuracy: 0.5, reward: 1 } }, {}, { metrics: { accuracy: 0.75 } }];
    const groups = chartGroups(columns("reward", "loss", "prefill_ms", "update_ms", "my_metric"), evals);
    deepStrictEqual(
      groups.map(({ kind, metrics }) => [kind, metrics.map(({ name }) => name)]),
      [
        ["reward", ["reward"]],
        ["preference", ["accuracy"]],
        ["other", ["loss", "my_metric"]],
      ],
    );
    deepStrictEqual(chartGroups(columns(), [{}]), []);
  });

  it("the points of an evaluation are those of its own metrics", () => {
    const evals = [
      { step: 10, metrics: { accuracy: 0.5 } },
      { step: 20, metrics: { length: 1 } as Record<string, number> },
      { step: 30, metrics: { accuracy: Number.NaN } },
    ];
    deepStrictEqual(heldoutPoints(evals, "accuracy"), [
      { step: 10, value: 0.5 },
      { step: 30, value: Number.NaN },
    ]);
    deepStrictEqual(heldoutPoints(evals, "toString"), []);
  });

  it("a number has its unit, and a missing or infinite number has none", () => {
    deepStrictEqual(
      [
        metricText(0.1234, "nats"),
        metricText(0.125, "share"),
        metricText(0.25, "seconds"),
        metricText(1234, "tokens/s"),
        metricText(6, "tokens"),
      ],
      ["0.123 nats", "13 %", "250 ms", "1.23 k", "6 tokens"],
    );
    deepStrictEqual([metricText(undefined, "nats"), metricText(Infinity, "nats"), metricText(Number.NaN, "share")], ["–", "∞", "–"]);
    strictEqual(axisText(0.5, "nats"), "0.5");
  });
});
