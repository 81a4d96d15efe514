import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Program } from "@lapidary/compiler";
import { type Simulation, simulate } from "@lapidary/simulator";
import type { CompileSubject } from "@lapidary/tpu-compiler";
import type { ResolvedJob } from "@lapidary/training";
import { computeOf, machineOf } from "../plan/plan-job.js";

/**
 * The step of a job, as the TPU compiler gets it.
 *
 * @param program the compiled train step of the job
 * @param chips the chips for which it is planned; names of files in `configs/chips`
 */
export function compileSubject(job: ResolvedJob, program: Program, root: string, chips: readonly string[]): CompileSubject {
  const plan = (chip: string): Simulation => simulate(program, machineOf(job, root, chip), { compute: computeOf(job) });
  return {
    job: job.name,
    slice: job.slice,
    slices: job.pods,
    numerics: job.numerics,
    program,
    simulations: new Map(chips.map((chip) => [chip, plan(chip)])),
  };
}

/** The chips of the project. */
export function knownChips(root: string): string[] {
  const directory = join(root, "configs/chips");
  return existsSync(directory)
    ? readdirSync(directory)
        .filter((name) => name.endsWith(".yaml"))
        .map((name) => name.slice(0, -".yaml".length))
    : [];
}
