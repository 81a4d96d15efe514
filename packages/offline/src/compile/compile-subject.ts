import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Program } from "@lapidary/compiler";
import { type Machine, type Simulation, simulate } from "@lapidary/simulator";
import type { CompileSubject } from "@lapidary/tpu-compiler";
import { computeOf, machineOf } from "@lapidary/trainer/recipes";
import { printTorus } from "@lapidary/topology";
import type { ResolvedJob } from "@lapidary/training";
import { simulateStepFile, type StepFile } from "../step-file/step-file.js";

/** The step of a StableHLO file on a machine, as the TPU compiler gets it. */
export function stepSubject({ name, program, options }: Pick<StepFile, "name" | "program" | "options">, machine: Machine): CompileSubject {
  return {
    job: name,
    slice: printTorus(machine.torus),
    slices: machine.pods,
    numerics: options.numerics,
    program,
    simulations: new Map([[machine.chip.name, simulateStepFile({ program, options }, machine)]]),
  };
}

/**
 * The step of a job, as the TPU compiler gets it. The plan has plain attention, because the modules have no flash kernel.
 *
 * @param program the compiled train step of the job
 * @param chips the chips for which it is planned; names of files in `configs/chips`
 */
export function compileSubject(job: ResolvedJob, program: Program, root: string, chips: readonly string[]): CompileSubject {
  const plan = (chip: string): Simulation => simulate(program, machineOf(job, root, chip), { compute: computeOf(job), attention: "plain" });
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
