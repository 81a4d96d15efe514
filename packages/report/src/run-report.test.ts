import { match } from "node:assert/strict";
import type { MetricsRow } from "@lapidary/api";
import { expectText } from "@lapidary/std/testing";
import { makePaint } from "./paint.js";
import { report, trainRow } from "./testing/index.js";
import { runReport } from "./run-report.js";

const metrics: MetricsRow[] = Array.from({ length: 200 }, (_, i) => trainRow(i + 1, 3.1 + 4.4 * Math.exp(-i / 40) + 0.05 * Math.sin(i)));

describe("report of a run", () => {
  it("the report has curve, losses, sample, memory and traffic of a chip, and the path of the checkpoint", () => {
    expectText(runReport(report, metrics, { columns: 100, paint: makePaint(false) }), new URL("../src/run-report.txt", import.meta.url));
  });

  it("the report of an untrained model reports that it is not better than word counts", () => {
    match(
      runReport({ ...report, heldout_loss: 7, collectives: [] }, [], { columns: 80, paint: makePaint(false) }),
      /not better than word counts[^]*needs no collective/,
    );
  });
});
