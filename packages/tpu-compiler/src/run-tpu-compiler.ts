import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { tpuScript } from "@lapidary/interop";
import { errorFromJSON, LapidaryError } from "@lapidary/std";
import { z } from "zod";
import { runToEnd } from "./run-to-end.js";
import type { ModuleForm } from "./bundle.js";

const count = z.number().nonnegative();
const part = count.nullable();
const reportSchema = z.strictObject({
  job: z.string(),
  chip: z.string(),
  topology: z.string(),
  slices: count,
  text: z.enum(["whole", "chip"]),
  /** Seconds of all compilations, also of those whose results come from the cache. */
  compile_s: count,
  /** `peak`: arguments, temporaries, and outputs that replace no argument. If the program does not fit, only the peak is known. */
  hbm_bytes: z.strictObject({ arguments: part, outputs: part, temporary: part, peak: count }),
  /** By the TPU compiler. */
  fits: z.boolean(),
  plan_hbm_bytes_peak: count.nullable(),
  collectives: z.array(z.strictObject({ op: z.string(), axis: z.string(), count, bytes_per_chip: count, plan_bytes_per_chip: count })),
  cycles: z.array(z.strictObject({ name: z.string(), phase: z.string(), xla: count, plan: count })),
  compiler: z.string(),
});
/** What the TPU compiler says about one chip, next to the plan: the fields of `lapidary compile --json`, in bytes, seconds and cycles. */
export type TpuReport = z.infer<typeof reportSchema>;

const shortSchema = z.strictObject({
  used: count,
  limit: count,
  /** The largest buffers, by the compiler or else by our plan; `name` is a value of ours, such as `logits#153`. */
  buffers: z.array(z.strictObject({ bytes: count, name: z.string(), shape: z.string() })),
});
const outputSchema = z.strictObject({ report: reportSchema, does_not_fit: shortSchema.nullable() });

/** The report, and what exceeds the memory of a chip if the program does not fit. */
export interface TpuResult {
  readonly report: TpuReport;
  readonly short: z.infer<typeof shortSchema> | undefined;
}

export interface TpuRun {
  /** The interpreter of the environment with the compiler. */
  readonly python: string;
  /** From `compileFiles`. */
  readonly files: ReadonlyMap<string, string>;
  readonly chip: string;
  readonly text: ModuleForm;
  /** Compiles even if there is an earlier result, and writes the optimized program to this absolute path. */
  readonly hlo: string | undefined;
  /** Stops the compiler once memory is assigned; `cycles` of the report is then empty, if there is no earlier result with cycles. */
  readonly memory: boolean;
  readonly env: NodeJS.ProcessEnv;
  /** Receives what the compiler is doing. */
  readonly onProgress: (text: string) => void;
}

/**
 * Runs the TPU compiler, or takes its earlier results from the cache of the user.
 *
 * @throws LAP_TPU_TOPOLOGY, LAP_TPU_COMPILE
 */
export async function runTpuCompiler(run: TpuRun): Promise<TpuResult> {
  const directory = await mkdtemp(join(tmpdir(), "lapidary-tpu-"));
  try {
    for (const [name, text] of run.files) {
      await mkdir(dirname(join(directory, name)), { recursive: true });
      await writeFile(join(directory, name), text);
    }
    const hlo = run.hlo === undefined ? [] : ["--hlo", run.hlo];
    const memory = run.memory ? ["--memory"] : [];
    const { report, does_not_fit } = outputSchema.parse(
      JSON.parse(await runScript([tpuScript(), directory, "--chip", run.chip, "--text", run.text, ...hlo, ...memory], run)),
    );
    return { report, short: does_not_fit ?? undefined };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const logLine = /^lapidary: (?:compile: )?(.*)$/;
const errorLines = /lapidary: error (LAP_\w+): ([\s\S]*?)\n {4}place: {2}([\s\S]*?)\n {4}remedy: ([\s\S]*?)\s*$/;

/** @throws LapidaryError with the code and remedy that the script prints */
async function runScript(
  args: readonly string[],
  { python, env, onProgress }: Pick<TpuRun, "python" | "env" | "onProgress">,
): Promise<string> {
  const onLine = (line: string): void => {
    const found = logLine.exec(line)?.[1];
    if (found !== undefined && !found.startsWith("error ")) onProgress(found);
  };
  const { code, signal, stdout, stderr } = await runToEnd(python, args, { env, onLine });
  if (code === 0) return stdout;
  const [, id, message, place, remedy] = errorLines.exec(stderr) ?? [];
  if (id !== undefined) throw errorFromJSON({ code: id, message, place, remedy });
  throw new LapidaryError({
    code: "LAP_TPU_COMPILE",
    message: `the TPU compiler ended with ${signal ?? code}: ${stderr.trim().split("\n").slice(-3).join("\n")}`,
    location: "libtpu",
    remedy: "free memory of the machine and compile again; with little memory, compile a job with fewer layers",
  });
}
