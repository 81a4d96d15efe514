import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  perDeviceModule,
  compareCycles,
  compareTpuCollectives,
  libtpuNotice,
  libtpuVersion,
  parseTpuResult,
  shardingConstraints,
  type TimedKernel,
  topologyName,
  type TpuResult,
  tpuScript,
  globalModule,
} from "@lapidary/interop";
import type { Simulation } from "@lapidary/simulator";
import { type Clock, errorFromJSON, formatBytes, LapidaryError, replaceFile } from "@lapidary/std";
import type { ResolvedJob } from "@lapidary/training";
import type { Directories } from "../directories.js";
import { machineOf } from "@lapidary/trainer/recipes";
import { planJob } from "../plan/plan-job.js";
import type { Reporter } from "../reporter.js";

export interface TpuCompileOptions {
  readonly job: ResolvedJob;
  /** A chip of `configs/chips` instead of the chip of the pod. */
  readonly chip: string | undefined;
  /** The module: `whole`, the global module, which XLA partitions; or `chip`, the per-device module of Lapidary. */
  readonly text: "whole" | "chip";
  /** The output file for the optimized program; absolute. */
  readonly hlo: string | undefined;
}

/** The fields that `lapidary compile --json` prints; bytes and cycles are those of one chip. */
export interface CompileReport {
  readonly job: string;
  readonly chip: string;
  readonly topology: string;
  readonly slices: number;
  readonly text: "whole" | "chip";
  readonly compile_s: number;
  /** Whether the result comes from the cache. */
  readonly cached: boolean;
  /** By the TPU compiler; null if it has no plan because the program does not fit. `peak`: arguments, temporaries, and outputs that alias no argument. */
  readonly hbm_bytes: {
    readonly arguments: number | null;
    readonly outputs: number | null;
    readonly temporary: number | null;
    readonly peak: number;
  };
  /** By the TPU compiler. */
  readonly fits: boolean;
  readonly plan_hbm_bytes_peak: number;
  readonly plan_fits: boolean;
  readonly collectives: ReturnType<typeof compareTpuCollectives>;
  readonly cycles: ReturnType<typeof compareCycles>;
  readonly compiler: string;
}

/**
 * Compiles the step with Google's TPU compiler and compares it with Lapidary's plan. Needs no TPU.
 *
 * @throws LAP_TPU_NOT_INSTALLED, LAP_TPU_COMPILE
 */
export async function compileForTpu(
  { job, chip, text, hlo }: TpuCompileOptions,
  { root, home }: Pick<Directories, "root" | "home">,
  clock: Clock,
  reporter: Pick<Reporter, "progress">,
): Promise<CompileReport> {
  reporter.progress("find the TPU compiler");
  const python = await findCompiler(root);
  reporter.progress("partition and time the step");
  const { simulation, report: plan } = planJob({ ...job, attention: "plain" }, machineOf(job, root, chip));
  const { program } = simulation;
  const module =
    text === "chip"
      ? perDeviceModule(program.chip, program.global, { numerics: job.numerics })
      : globalModule(program.global, shardingConstraints(program.propagated), { numerics: job.numerics });
  const topology = topologyName(plan.chip, job.slice);
  const startedAt = clock.monotonic();
  reporter.progress(`compile for ${job.pods} × ${topology}`, () => `${Math.round((clock.monotonic() - startedAt) / 1000)} s`);
  const found = await compileModule({ python, module, topology, slices: job.pods, hlo, cache: join(home, "cache/tpu") });
  return makeReport({ job: job.name, text, simulation, plan, ...found });
}

interface CompiledStep {
  readonly job: string;
  readonly text: "whole" | "chip";
  readonly simulation: Simulation;
  readonly result: TpuResult;
  readonly cached: boolean;
  readonly plan: { readonly chip: string; readonly hbm_bytes: { readonly peak: number }; readonly fits: boolean };
}

function makeReport({ job, text, simulation, result, cached, plan }: CompiledStep): CompileReport {
  const { program } = simulation;
  const { memory, does_not_fit: short } = result;
  const clock = simulation.machine.chip.clock_hz;
  const kernels: TimedKernel[] =
    clock === undefined
      ? []
      : simulation.timeline.kernels.map(({ kernel, from, to }) => ({
          name: kernel.name,
          scope: kernel.scope,
          role: kernel.role,
          cycles: Math.round((to - from) * clock),
        }));
  return {
    job,
    chip: plan.chip,
    topology: result.topology,
    slices: result.slices,
    text,
    compile_s: result.compile_s,
    cached,
    hbm_bytes: {
      arguments: memory?.arguments ?? null,
      outputs: memory?.outputs ?? null,
      temporary: memory?.temporary ?? null,
      peak: memory === undefined ? (short?.used ?? 0) : memory.arguments + memory.temporary + memory.outputs - memory.aliased,
    },
    fits: short === undefined,
    plan_hbm_bytes_peak: plan.hbm_bytes.peak,
    plan_fits: plan.fits,
    collectives: short === undefined ? compareTpuCollectives(program, result) : [],
    cycles: short === undefined ? compareCycles(text === "chip" ? program.chip : program.global, result, kernels) : [],
    compiler: result.compiler,
  };
}

interface ModuleToCompile {
  /** The interpreter that has the TPU compiler. */
  readonly python: string;
  readonly module: string;
  readonly topology: string;
  readonly slices: number;
  readonly hlo: string | undefined;
  /** Directory of earlier results. */
  readonly cache: string;
}

/** The compiler's result for a module, from the cache or from the compiler. A module with an `hlo` file is always compiled. */
async function compileModule(options: ModuleToCompile): Promise<{ result: TpuResult; cached: boolean }> {
  const { python, module, topology, slices, hlo, cache } = options;
  const script = tpuScript();
  const key = createHash("sha256")
    .update([libtpuVersion, topology, slices, readFileSync(script, "utf8"), module].join("\0"))
    .digest("hex")
    .slice(0, 32);
  const path = join(cache, `${key}.json`);
  if (hlo === undefined && existsSync(path)) return { result: parseTpuResult(readFileSync(path, "utf8")), cached: true };
  const directory = await mkdtemp(join(tmpdir(), "lapidary-tpu-"));
  try {
    const input = join(directory, "step.mlir");
    await writeFile(input, module);
    const hloPath = hlo === undefined ? [] : ["--hlo", hlo];
    const json = await runCompiler(python, [script, input, "--topology", topology, "--slices", String(slices), ...hloPath]);
    const result = parseTpuResult(json);
    mkdirSync(cache, { recursive: true });
    replaceFile(path, json);
    return { result, cached: false };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** @throws LapidaryError with the code and remedy that the script prints */
function runCompiler(python: string, args: readonly string[]): Promise<string> {
  return new Promise((done, fail) => {
    execFile(python, [...args], { maxBuffer: 1 << 30 }, (error, stdout, stderr) => {
      if (error === null) return done(stdout);
      const [, code, message, place, remedy] =
        /lapidary: error (LAP_\w+): ([\s\S]*?)\n {4}place: {2}([\s\S]*?)\n {4}remedy: ([\s\S]*?)\s*$/.exec(stderr) ?? [];
      if (code !== undefined) return fail(errorFromJSON({ code, message, place, remedy }).with({ cause: error }));
      fail(
        new LapidaryError({
          code: "LAP_TPU_COMPILE",
          message: `the TPU compiler ended with ${error.signal ?? error.code}: ${stderr.trim().split("\n").slice(-3).join("\n")}`,
          location: "libtpu",
          remedy: "run the command again with -v; with little memory, compile a job with fewer layers",
          cause: error,
        }),
      );
    });
  });
}

/** @throws LAP_TPU_NOT_INSTALLED until the user has installed the compiler, and so accepted its licence */
async function findCompiler(root: string): Promise<string> {
  const { code, stdout } = await runTool(root, ["--tpu", "--only-look"], true);
  if (code === 0) return stdout.trim();
  throw new LapidaryError({
    code: "LAP_TPU_NOT_INSTALLED",
    message: `Google's TPU compiler (libtpu ${libtpuVersion}) is not installed`,
    location: "lapidary compile",
    remedy: `run \`lapidary compile --install\`: it takes ${formatBytes(libtpuNotice.installed_bytes)} of disk, under the ${libtpuNotice.licence}`,
  });
}

/**
 * Installs the TPU compiler. The caller has the user's consent to its licence.
 *
 * @param quiet the installer prints nothing
 * @throws LAP_TPU_INSTALL
 */
export async function installTpuCompiler(root: string, quiet: boolean, reporter: Pick<Reporter, "say">): Promise<void> {
  reporter.say(`installing JAX and libtpu ${libtpuVersion} from your pip index: ${formatBytes(libtpuNotice.installed_bytes)} of disk`);
  reporter.say(`libtpu comes under the ${libtpuNotice.licence}`);
  const { code } = await runTool(root, ["--tpu"], quiet);
  if (code !== 0)
    throw new LapidaryError({
      code: "LAP_TPU_INSTALL",
      message: "the TPU compiler could not be installed",
      location: "tools/xla/venv.mjs --tpu",
    });
  reporter.say(`libtpu ${libtpuVersion} is installed`);
}

function runTool(root: string, flags: readonly string[], quiet: boolean): Promise<{ code: number | null; stdout: string }> {
  const child = spawn(process.execPath, [join(root, "tools/xla/venv.mjs"), ...flags], {
    stdio: ["ignore", "pipe", quiet ? "ignore" : "inherit"],
  });
  let stdout = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  return new Promise((done) => {
    child.once("close", (code) => done({ code, stdout })).once("error", () => done({ code: null, stdout }));
  });
}
