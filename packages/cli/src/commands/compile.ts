import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
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
  writeFileAtomic,
} from "@lapidary/interop";
import type { Simulation } from "@lapidary/simulator";
import { errorFromJSON, ExitCode, formatBytes, LapidaryError, textTable } from "@lapidary/std";
import type { Context } from "../context.js";
import { checkOutput } from "../output/output.js";
import { machineOf, planJob } from "../plan/plan-job.js";
import type { Paint } from "../terminal/paint.js";
import { readJob } from "./job-file.js";

export interface CompileRequest {
  readonly job: string | undefined;
  readonly overrides: readonly string[];
  readonly chip: string | undefined;
  /** The module: `whole` (default), the global module, which XLA partitions; or `chip`, the per-device module of Lapidary. */
  readonly text: string | undefined;
  /** The output file for the optimized program. */
  readonly hlo: string | undefined;
  /** Install the compiler: the user's consent. */
  readonly install: boolean;
}

/** What `lapidary compile --json` prints: stable fields, bytes and cycles of one chip. */
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

/** `lapidary compile JOB`: compiles the step with Google's TPU compiler and compares it with Lapidary's plan. Needs no TPU. */
export async function compileForTpu(context: Context, request: CompileRequest): Promise<ExitCode> {
  const { console } = context;
  if (request.install) await install(context);
  if (request.job === undefined) {
    if (request.install) return ExitCode.done;
    throw usage("the job file is missing", "give a job file, such as configs/jobs/nano16.yaml");
  }
  const job = readJob(context, request.job, request.overrides);
  if (request.hlo !== undefined) checkOutput({ kind: "file", path: resolve(context.cwd, request.hlo), what: "the optimized program" });
  const text = request.text === "chip" ? "chip" : "whole";
  const progress = console.progress();
  try {
    progress.update("find the TPU compiler");
    const python = await findCompiler(context);
    progress.update("partition and time the step");
    const { simulation, report: plan } = planJob(job, machineOf(job, context.root, request.chip));
    const { program } = simulation;
    const module =
      text === "chip"
        ? perDeviceModule(program.chip, program.global, { numerics: job.numerics })
        : globalModule(program.global, shardingConstraints(program.propagated), { numerics: job.numerics });
    const topology = topologyName(plan.chip, job.slice);
    const startedAt = context.clock.monotonic();
    const seconds = (): string => `${Math.round((context.clock.monotonic() - startedAt) / 1000)} s`;
    const ticking = setInterval(() => progress.update(`compile for ${job.pods} × ${topology}`, seconds()), 1000);
    let found: { readonly result: TpuResult; readonly cached: boolean };
    try {
      found = await compileModule(context, python, module, topology, job.pods, request.hlo);
    } finally {
      clearInterval(ticking);
    }
    const report = makeReport({ job: job.name, text, simulation, plan, ...found });
    progress.end();
    console.result(report, () => reportText(report, console.paint));
    if (report.fits) return ExitCode.done;
    if (console.options.json) console.warn(shortText(report));
    return ExitCode.doesNotFit;
  } finally {
    progress.end();
  }
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

/** The compiler's result for a module, from the cache or from the compiler. */
async function compileModule(
  context: Context,
  python: string,
  text: string,
  topology: string,
  slices: number,
  hlo: string | undefined,
): Promise<{ result: TpuResult; cached: boolean }> {
  const script = tpuScript();
  const key = createHash("sha256")
    .update([libtpuVersion, topology, slices, readFileSync(script, "utf8"), text].join("\0"))
    .digest("hex")
    .slice(0, 32);
  const path = join(context.home, "cache/tpu", `${key}.json`);
  if (hlo === undefined && existsSync(path)) return { result: parseTpuResult(readFileSync(path, "utf8")), cached: true };
  const directory = await mkdtemp(join(tmpdir(), "lapidary-tpu-"));
  try {
    const input = join(directory, "step.mlir");
    await writeFile(input, text);
    const hloPath = hlo === undefined ? [] : ["--hlo", resolve(context.cwd, hlo)];
    const json = await runCompiler(python, [script, input, "--topology", topology, "--slices", String(slices), ...hloPath]);
    const result = parseTpuResult(json);
    mkdirSync(join(context.home, "cache/tpu"), { recursive: true });
    await writeFileAtomic(path, [Buffer.from(json)]);
    return { result: result, cached: false };
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
          place: "libtpu",
          remedy: "run the command again with -v; with little memory, compile a job with fewer layers",
          cause: error,
        }),
      );
    });
  });
}

/** @throws LAP_TPU_NOT_INSTALLED until the user has installed the compiler, and so accepted its licence */
async function findCompiler(context: Context): Promise<string> {
  const { code, stdout } = await runTool(context, ["--tpu", "--only-look"], true);
  if (code === 0) return stdout.trim();
  throw new LapidaryError({
    code: "LAP_TPU_NOT_INSTALLED",
    message: `Google's TPU compiler (libtpu ${libtpuVersion}) is not installed`,
    place: "lapidary compile",
    remedy: `run \`lapidary compile --install\`: it takes ${formatBytes(libtpuNotice.installed_bytes)} of disk, under the ${libtpuNotice.licence}`,
  });
}

async function install(context: Context): Promise<void> {
  const { console } = context;
  console.say(`installing JAX and libtpu ${libtpuVersion} from your pip index: ${formatBytes(libtpuNotice.installed_bytes)} of disk`);
  console.say(`libtpu comes under the ${libtpuNotice.licence}`);
  const { code } = await runTool(context, ["--tpu"], console.options.quiet);
  if (code !== 0)
    throw new LapidaryError({
      code: "LAP_TPU_INSTALL",
      message: "the TPU compiler could not be installed",
      place: "tools/xla/venv.mjs --tpu",
    });
  console.say(`libtpu ${libtpuVersion} is installed`);
}

function runTool({ root }: Context, flags: readonly string[], quiet: boolean): Promise<{ code: number | null; stdout: string }> {
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

const usage = (message: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_CLI_ARGUMENT", message, place: "lapidary compile", remedy });

function reportText(report: CompileReport, paint: Paint): string {
  const right = (title: string): { title: string; align: "right" } => ({ title, align: "right" });
  const size = (count: number | null): string => (count === null ? "-" : formatBytes(Math.round(count)));
  const fitText = (fits: boolean): string => (fits ? paint.green("fits") : paint.red("does not fit"));
  const { hbm_bytes: hbm } = report;
  const total = (side: "xla" | "plan"): number => report.cycles.reduce((sum, row) => sum + row[side], 0);
  const share = (a: number, b: number): string => (b === 0 ? "-" : (a / b).toFixed(2));
  return [
    `${paint.bold(`${report.job} for ${report.slices} × ${report.topology}`)}, compiled by ${report.compiler} in ${report.compile_s.toFixed(1)} s${report.cached ? " (cached)" : ""}, ${report.text === "chip" ? "per-device" : "global"} module`,
    "",
    paint.bold("HBM of a chip"),
    textTable(
      [{ title: "" }, right("TPU compiler"), right("our plan")],
      [
        ["  arguments", size(hbm.arguments), ""],
        ["  temporary", size(hbm.temporary), ""],
        ["  peak", size(hbm.peak), size(report.plan_hbm_bytes_peak)],
        ["  ", fitText(report.fits), fitText(report.plan_fits)],
      ],
    ),
    ...(report.fits ? [] : ["", shortText(report)]),
    ...(report.collectives.length === 0
      ? []
      : [
          "",
          paint.bold("Collectives: what a chip sends in a step"),
          textTable(
            [{ title: "  collective" }, { title: "axis" }, right("TPU compiler"), right("bytes"), right("ours"), right("bytes")],
            report.collectives.map((c) => [
              `  ${c.op}`,
              c.axis,
              String(c.count),
              size(c.bytes_per_chip),
              String(c.plan_count),
              size(c.plan_bytes_per_chip),
            ]),
          ),
        ]),
    ...(report.cycles.length === 0
      ? []
      : [
          "",
          paint.bold("Cycles of a chip in a step, collectives left out"),
          textTable(
            [{ title: "  part" }, { title: "pass" }, right("TPU compiler"), right("our plan"), right("ours / theirs")],
            [
              ...report.cycles.slice(0, 20).map((c) => [`  ${c.name}`, c.phase, String(c.xla), String(c.plan), share(c.plan, c.xla)]),
              ["  all", "", String(total("xla")), String(total("plan")), share(total("plan"), total("xla"))],
            ],
          ),
        ]),
  ].join("\n");
}

function shortText({ hbm_bytes, chip, plan_fits }: CompileReport): string {
  return `the TPU compiler needs ${formatBytes(hbm_bytes.peak)} on a ${chip} chip, which is more than it has${plan_fits ? "; our plan says that it fits, and is too low here" : ""}. Try \`lapidary plan JOB --search\`, a smaller train.batch, or remat: full`;
}
