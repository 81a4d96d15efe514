import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseChip, simulate, usableHbm, utilisation } from "@lapidary/simulator";
import { assert, ensure } from "@lapidary/std";
import { parseTorus } from "@lapidary/topology";
import { compileJob, loadJob } from "@lapidary/training";
import { root } from "./cli.js";

interface PublishedCell {
  readonly job: string;
  readonly pods: number;
  /** Percent, with the full square of attention. */
  readonly mfu: number;
}

/** The runs of MaxText whose model-flops utilisation is published, from `tools/calibrate/measured.json`. */
export const publishedCells = (
  JSON.parse(readFileSync(join(root, "tools/calibrate/measured.json"), "utf8")) as { readonly runs: readonly PublishedCell[] }
).runs;

/** The relative difference between the utilisation that the simulator predicts for a published run and the published one. */
export function publishedError(name: string, pods: number): number {
  const { mfu } = ensure(
    publishedCells.find((cell) => cell.job === name && cell.pods === pods),
    `a published run of ${name} on ${pods} pods`,
  );
  const configsDir = join(root, "configs");
  const job = loadJob(join(configsDir, "jobs/published", `${name}.yaml`), [`pods=${pods}`], { configsDir, base: root });
  const chip = parseChip(readFileSync(join(configsDir, "chips/v5e.yaml"), "utf8"), "v5e.yaml");
  const simulation = simulate(compileJob(job, { verify: false }), { chip, pods, torus: parseTorus(job.slice) });
  assert(simulation.memory.peakBytes < usableHbm(chip), "the run fits", name);
  return Math.abs((100 * utilisation(simulation, simulation.flops.weights + simulation.flops.attention)) / mfu - 1);
}
