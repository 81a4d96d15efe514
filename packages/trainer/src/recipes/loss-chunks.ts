import { analyse, type Machine, usableHbm } from "@lapidary/simulator";
import { mostLossChunks, type LocatedJob, type ResolvedJob } from "@lapidary/training";
import { compileJob } from "./compile-job.js";
import { computeOf, machineOf } from "./job-machine.js";

/** More pieces lower the memory of no model: the logits of one piece are then smaller than the activations of a layer. */
const maxChunks = 256;

/**
 * The smallest power of two of pieces with which the step of a job fits, by the memory plan of `lapidary plan`. If none suffices: the
 * smallest with the lowest peak.
 */
function chooseLossChunks(job: ResolvedJob, machine: Pick<Machine, "chip" | "torus">): number {
  let best = { count: 1, peak: Infinity };
  for (let count = 1; count <= Math.min(maxChunks, mostLossChunks(job)); count *= 2) {
    const program = compileJob({ ...job, loss_chunks: count }, { verify: false });
    const peak = analyse(program, machine, computeOf(job), job.attention).memory.peakBytes;
    if (peak <= usableHbm(machine.chip)) return count;
    if (peak >= best.peak) break;
    best = { count, peak };
  }
  return best.count;
}

/** The job with a number in the place of `loss_chunks: auto`, for the chips of its pod. @throws LAP_CHIP_UNKNOWN */
export const withLossChunks = (job: ResolvedJob, root: string): ResolvedJob =>
  job.loss_chunks === "auto" ? { ...job, loss_chunks: chooseLossChunks(job, machineOf(job, root)) } : job;

/** As `withLossChunks`, for a job with locations. */
export const locatedWithLossChunks = <T extends LocatedJob>(located: T, root: string): T => ({
  ...located,
  job: withLossChunks(located.job, root),
});
