import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Program } from "@lapidary/compiler";
import {
  type Comparison,
  compareWith,
  type ReferenceBackend,
  backendScript,
  parseBackendOutput,
  shardingConstraints,
  globalModule,
} from "@lapidary/interop";
import { LapidaryError } from "@lapidary/std";
import { compileJob } from "@lapidary/trainer/recipes";
import type { ResolvedJob } from "@lapidary/training";
import type { Reporter } from "../reporter.js";

export type { Comparison, ReferenceBackend } from "@lapidary/interop";

const execute = promisify(execFile);

export interface BackendOptions {
  /** The project; it has the tool that installs JAX. */
  readonly root: string;
  /** Whether the tool prints nothing. */
  readonly quiet: boolean;
  /** A program of the job. The step program by default. */
  readonly program?: string | undefined;
}

/** Compares shardings and collectives of a job with those that a reference backend gives the same module. */
export async function compareWithReference(
  job: ResolvedJob,
  backend: ReferenceBackend,
  options: BackendOptions,
  reporter: Pick<Reporter, "progress">,
): Promise<Comparison> {
  reporter.progress("compile");
  const program = compileJob(job, { verify: false, program: options.program });
  reporter.progress("provide JAX");
  const python = await providePython(options);
  reporter.progress(backend === "shardy" ? "run Shardy's passes" : `compile with XLA for ${job.chips} devices`);
  return compareProgram(program, backend, python);
}

/** @param python an interpreter with the pinned JAX */
async function compareProgram(program: Program, backend: ReferenceBackend, python: string): Promise<Comparison> {
  const directory = await mkdtemp(join(tmpdir(), "lapidary-compare-"));
  try {
    const path = join(directory, "whole.mlir");
    await writeFile(path, globalModule(program.global, shardingConstraints(program.propagated)));
    const { stdout } = await execute(python, [backendScript(backend), path], { maxBuffer: 1 << 30 });
    return compareWith(backend, program, parseBackendOutput(stdout));
  } catch (cause) {
    throw new LapidaryError({
      code: "LAP_COMPARE_FAILED",
      message: `the backend ${backend} failed: ${lastLines(cause)}`,
      location: backendScript(backend),
      remedy:
        backend === "xla"
          ? "try fewer chips, or --compare shardy, which compiles nothing"
          : "run the script yourself on an exported whole.mlir",
      cause,
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The interpreter of the environment with the pinned JAX. The tool creates a missing environment and prints its progress. */
async function providePython({ root, quiet }: BackendOptions): Promise<string> {
  const tool = join(root, "tools/xla/venv.mjs");
  const child = spawn(process.execPath, [tool], { stdio: ["ignore", "pipe", quiet ? "ignore" : "inherit"] });
  let path = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    path += text;
  });
  const code = await new Promise<number | null>((done) => {
    child.once("close", done).once("error", () => done(null));
  });
  if (code === 0) return path.trim();
  throw new LapidaryError({
    code: "LAP_COMPARE_JAX",
    message: "JAX could not be installed",
    location: tool,
    remedy: `run \`node ${tool}\`, which prints the reason`,
  });
}

function lastLines(error: unknown): string {
  const stderr = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : "";
  return (stderr === "" ? String(error) : stderr).split("\n").slice(-4).join("\n");
}
