import { type CompileSubject, compileFiles, runTpuCompiler, type TpuResult, type TpuRun } from "@lapidary/tpu-compiler";
import { usableHbm } from "@lapidary/simulator";
import { compileJob, machineOf } from "@lapidary/trainer/recipes";
import type { ResolvedJob } from "@lapidary/training";
import type { Clock, Warning } from "@lapidary/std";
import { printTorus } from "@lapidary/topology";
import type { Directories } from "../directories.js";
import type { Reporter } from "../reporter.js";
import { compileStepFile, machineOfStep, simulateStepFile } from "../step-file/step-file.js";
import { compileHtml } from "./compile-html.js";
import { compileSubject } from "./compile-subject.js";
import { findTpuCompiler } from "./tpu-installation.js";

export { findTpuCompiler, installTpuCompiler, tpuCompilerNotice } from "./tpu-installation.js";
export type { TpuReport } from "@lapidary/tpu-compiler";

export interface CompiledStep extends TpuResult {
  /** Whether the step fits by the plan of Lapidary. */
  readonly planFits: boolean;
  /** What the text of a step leaves open; none for a job. */
  readonly warnings: readonly Warning[];
  /** The comparison as one HTML page that opens offline. */
  readonly page: () => string;
}

export interface TpuCompileOptions {
  readonly job: ResolvedJob;
  /** A chip of `configs/chips` instead of the chip of the pod. */
  readonly chip: string | undefined;
  /** The module: `whole`, the global module, which XLA partitions; or `chip`, the per-device module of Lapidary. */
  readonly text: "whole" | "chip";
  /** The output file for the optimized program; absolute. */
  readonly hlo: string | undefined;
  /** Only memory and collectives: the compiler stops before it generates kernels, and the report has no cycles. */
  readonly memory: boolean;
  /** Variables of the process of the compiler. */
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Compiles the step with Google's TPU compiler and compares it with Lapidary's plan. Needs no TPU.
 *
 * @throws LAP_CHIP_UNKNOWN, LAP_TPU_NOT_INSTALLED, LAP_TPU_DAMAGED, LAP_TPU_TOPOLOGY, LAP_TPU_COMPILE
 */
export async function compileForTpu(
  { job, chip: given, text, hlo, memory, env }: TpuCompileOptions,
  { root }: Pick<Directories, "root">,
  clock: Clock,
  reporter: Pick<Reporter, "progress">,
): Promise<CompiledStep> {
  const { name: chip } = machineOf(job, root, given).chip;
  reporter.progress("find the TPU compiler");
  const python = await findTpuCompiler(root, env);
  reporter.progress("partition and time the step");
  const program = compileJob(job, { verify: false });
  const subject = compileSubject(job, program, root, [chip]);
  return compiled(subject, { python, chip, text, hlo, memory, env }, clock, reporter);
}

export interface StepCompileOptions extends Omit<TpuCompileOptions, "job"> {
  /** The path of the StableHLO text. */
  readonly file: string;
  /** Words after the file: `mesh.data=8`, `slice=2x4`. */
  readonly words: readonly string[];
}

/**
 * Compiles a step that JAX exported, as `compileForTpu` compiles the step of a job. The compiler gets the step as Lapidary prints it, so that the names
 * in its report are those of the plan.
 *
 * @throws LAP_IMPORT_… and the errors of `compileForTpu`
 */
export async function compileStepForTpu(
  { file, words, chip: given, text, hlo, memory, env }: StepCompileOptions,
  { root, cwd }: Directories,
  clock: Clock,
  reporter: Pick<Reporter, "progress">,
): Promise<CompiledStep> {
  reporter.progress("find the TPU compiler");
  const python = await findTpuCompiler(root, env);
  reporter.progress("partition and time the step");
  const step = compileStepFile(file, cwd, words);
  const machine = machineOfStep(step, root, given ?? "v5e");
  const simulation = simulateStepFile(step, machine);
  const subject: CompileSubject = {
    job: step.name,
    slice: printTorus(machine.torus),
    slices: machine.pods,
    numerics: step.options.numerics,
    program: step.program,
    simulations: new Map([[machine.chip.name, simulation]]),
  };
  const result = await compiled(subject, { python, chip: machine.chip.name, text, hlo, memory, env }, clock, reporter);
  return { ...result, warnings: step.warnings };
}

async function compiled(
  subject: CompileSubject,
  run: Omit<TpuRun, "files" | "onProgress">,
  clock: Clock,
  reporter: Pick<Reporter, "progress">,
): Promise<CompiledStep> {
  const files = compileFiles(subject);
  const startedAt = clock.monotonic();
  const onProgress = (what: string): void =>
    reporter.progress(`compile ${what.replace(/: \d+ s$/, "")}`, () => `${Math.round((clock.monotonic() - startedAt) / 1000)} s`);
  const result = await runTpuCompiler({ ...run, files, onProgress });
  const planFits = [...subject.simulations.values()].every(({ memory, machine }) => memory.peakBytes <= usableHbm(machine.chip));
  return { ...result, planFits, warnings: [], page: () => compileHtml(result.report, planFits) };
}
