import { deepStrictEqual, ok } from "node:assert/strict";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Machine } from "@lapidary/simulator";
import type { ResolvedJob } from "@lapidary/training";
import { readJobFile } from "../job/job-file.js";
import { pipelinePlanOf } from "./pipeline-plan.js";
import { planJob } from "./plan-job.js";
import { planSubject } from "./plan.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));
const [S, M] = [4, 4];
const layout = ["mesh={ data: 4, stage: 4 }", "train.batch=16", `train.microbatches=${M}`];
const read = (overrides: readonly string[]): ResolvedJob =>
  readJobFile({ root, cwd: root, home: root }, "e2e/cases/common/tiny.yaml", [...layout, ...overrides]).job;

/** The machine of a job with links that take no time. */
function withFreeSends(job: ResolvedJob): Machine {
  const { machine } = planSubject({ job, read }, root, undefined);
  return { ...machine, chip: { ...machine.chip, ici: { ...machine.chip.ici, link_bytes_per_s: 1e30, hop_s: 1e-30 } } };
}

describe("the plan of a pipeline", () => {
  for (const [order, repeats, bubbles] of [
    ["gpipe", 1, { forward: S - 1, backward: S - 1 }],
    ["circular", 2, { forward: S - 1, backward: S - 1 }],
    ["zero_bubble", 1, { forward: S - 1, backward: S - 1, weights: 0 }],
  ] as const)
    it(`in the order ${order} with free sends, every stage is idle for S − 1 ticks of a pass, and in no tick of weights`, () => {
      const own = order === "circular" ? ["pipeline.repeats=2", "model.layers=8"] : ["model.layers=4"];
      const job = read([`pipeline.order=${order}`, ...own]);
      const { report, simulation } = planJob(job, withFreeSends(job));
      const ticks = { forward: repeats * M + S - 1, backward: repeats * M + S - 1, weights: M };
      const secondsOf = (part: keyof typeof ticks): number =>
        simulation.timeline.kernels.reduce((sum, { kernel, from, to }) => sum + (kernel.scope.tick === part ? to - from : 0), 0);
      const expected = Object.entries(bubbles).reduce((sum, [part, idle]) => {
        const each = secondsOf(part as keyof typeof ticks) / ticks[part as keyof typeof ticks];
        ok(each > 0, part);
        return sum + idle * each;
      }, 0);
      // Regions with other parts fuse other kernels, so that ticks of zero_bubble differ a little.
      const tolerance = order === "zero_bubble" ? 0.01 : 1e-9;
      ok(Math.abs(report.bubble_s / expected - 1) < tolerance, `${report.bubble_s} for ${expected}`);
      ok(Math.abs(report.idle_s_by_stage.reduce((a, b) => a + b, 0) / S / report.bubble_s - 1) < 1e-9);
      const plan = pipelinePlanOf(job, report);
      deepStrictEqual(plan?.in_flight_by_stage, order === "circular" ? [8, 8, 8, 8] : [4, 4, 4, 4]);
    });
});
