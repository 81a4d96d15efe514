import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { type ComputeDtype, type Machine, type PlanReport, type Simulation, parseChip, planReport, simulate } from "@lapidary/simulator";
import { textForDigest } from "@lapidary/ir";
import { LapidaryError, suggest } from "@lapidary/std";
import { parseTorus } from "@lapidary/topology";
import type { ViewMachine } from "@lapidary/telemetry";
import { compileJob } from "@lapidary/trainer/recipes";
import type { ResolvedJob } from "@lapidary/training";

export interface Planned {
  readonly simulation: Simulation;
  readonly report: PlanReport;
}

/** The machine of a job, with the chip of its pod or with another chip. */
export function machineOf({ pod, pods, slice }: Pick<ResolvedJob, "pod" | "pods" | "slice">, root: string, chip = pod.chip): Machine {
  return { chip: readChip(root, chip), pods, torus: parseTorus(slice) };
}

function readChip(root: string, name: string): Machine["chip"] {
  const directory = join(root, "configs/chips");
  const file = join(directory, `${name}.yaml`);
  if (/^[a-z0-9][\w.-]*$/i.test(name) && existsSync(file)) return parseChip(readFileSync(file, "utf8"), file);
  const known = readdirSync(directory).map((each) => basename(each, ".yaml"));
  const near = suggest(name, known);
  throw new LapidaryError({
    code: "LAP_CHIP_UNKNOWN",
    message: `there is no chip "${name}"`,
    location: "chip",
    remedy:
      near === undefined ? `chips are ${known.sort().join(", ")}; a file in configs/chips describes another` : `did you mean "${near}"?`,
  });
}

/** The dtype of matmuls on a chip. */
export const computeOf = ({ numerics }: Pick<ResolvedJob, "numerics">): ComputeDtype => (numerics === "mxu" ? "bf16" : "f32");

/** The machine of a job in the form that times all its programs. */
export const viewMachineOf = ({ chip, pods, torus }: Machine, job: Pick<ResolvedJob, "numerics">): ViewMachine => ({
  chip,
  pods,
  slice: torus.dims,
  compute: computeOf(job),
});

/**
 * Compiles a program of the job and times it.
 *
 * @param program the step program by default
 * @throws LapidaryError `LAP_PROGRAM_UNKNOWN`
 */
export function planJob(job: ResolvedJob, machine: Machine, program?: string): Planned {
  const compiled = compileJob(job, { verify: false, program, machine: viewMachineOf(machine, job) });
  const simulation = simulate(compiled, machine, { compute: computeOf(job) });
  return { simulation, report: planReport(simulation) };
}

/** Hash of the chip program, as workers load it. */
export const programHash = ({ program }: Pick<Simulation, "program">): string =>
  createHash("sha256").update(textForDigest(program.chip)).digest("hex");

/** Cost of all steps of a job. */
export interface Budget {
  readonly tokens: number;
  readonly days: number;
  readonly chip_hours: number;
}

export function budgetOf(
  { train }: Pick<ResolvedJob, "train">,
  { step_time_s, tokens_per_step, chips }: Pick<PlanReport, "step_time_s" | "tokens_per_step" | "chips">,
): Budget {
  const seconds = train.steps * step_time_s;
  return { tokens: train.steps * tokens_per_step, days: seconds / 86_400, chip_hours: (seconds / 3600) * chips };
}
