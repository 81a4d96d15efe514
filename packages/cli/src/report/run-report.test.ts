import { match } from "node:assert/strict";
import type { MetricsRow } from "@lapidary/api";
import { expectText } from "@lapidary/std";
import { makePaint } from "../terminal/paint.js";
import { report, trainRow } from "../testing/jobs.js";
import { runReport } from "./run-report.js";

const metrics: MetricsRow[] = Array.from({ length: 200 }, (_, i) => trainRow(i + 1, 3.1 + 4.4 * Math.exp(-i / 40) + 0.05 * Math.sin(i)));

describe("report of a run", () => {
  it("shows the curve, what was learnt, a sample, what chips held and sent, and where the checkpoint lies", () => {
    expectText(
      runReport(report, metrics, { columns: 100, paint: makePaint(false) }),
      new URL("../../src/report/run-report.txt", import.meta.url),
    );
  });

  it("does not praise a model that learnt nothing", () => {
    match(
      runReport({ ...report, heldout_loss: 7, collectives: [] }, [], { columns: 80, paint: makePaint(false) }),
      /no better than word counts[^]*needs no collective/,
    );
  });
});
