import { compileFiles, runTpuCompiler, type TpuResult } from "@lapidary/tpu-compiler";
import { usableHbm } from "@lapidary/simulator";
import { compileJob, machineOf } from "@lapidary/trainer/recipes";
import type { ResolvedJob } from "@lapidary/training";
import type { Clock } from "@lapidary/std";
import type { Directories } from "../directories.js";
import type { Reporter } from "../reporter.js";
import { compileSubject } from "./compile-subject.js";
import { findTpuCompiler } from "./tpu-installation.js";

export { findTpuCompiler, installTpuCompiler, tpuCompilerNotice } from "./tpu-installation.js";
export type { TpuReport } from "@lapidary/tpu-compiler";

export interface CompiledStep extends TpuResult {
  /** Whether the step fits by the plan of Lapidary. */
  readonly planFits: boolean;
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
  const files = compileFiles(subject);
  const startedAt = clock.monotonic();
  const onProgress = (what: string): void =>
    reporter.progress(`compile ${what.replace(/: \d+ s$/, "")}`, () => `${Math.round((clock.monotonic() - startedAt) / 1000)} s`);
  const result = await runTpuCompiler({ python, files, chip, text, hlo, memory, env, onProgress });
  const planFits = [...subject.simulations.values()].every(({ memory, machine }) => memory.peakBytes <= usableHbm(machine.chip));
  return { ...result, planFits };
}
