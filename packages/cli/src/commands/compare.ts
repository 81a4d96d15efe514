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
import { ExitCode, formatBytes, LapidaryError, textTable, counted } from "@lapidary/std";
import { compileJob, type ResolvedJob } from "@lapidary/training";
import type { Context } from "../context.js";

const execute = promisify(execFile);
const shownDifferences = 40;

/** `lapidary explain JOB --compare shardy|xla`: compares shardings and collectives with those of a reference backend for the same module. */
export async function compareJob(context: Context, job: ResolvedJob, backend: ReferenceBackend): Promise<ExitCode> {
  const { console } = context;
  const progress = console.progress();
  progress.update("compile");
  const program = compileJob(job, { verify: false });
  progress.update("provide JAX");
  const python = await providePython(context);
  progress.update(backend === "shardy" ? "run Shardy's passes" : `compile with XLA for ${job.chips} devices`);
  const comparison = await compareProgram(program, backend, python);
  progress.end();
  console.result({ job: job.name, chips: job.chips, ...comparison }, () => comparisonText(comparison, console.options.verbose));
  return ExitCode.done;
}

/** @param python an interpreter with the pinned JAX */
export async function compareProgram(program: Program, backend: ReferenceBackend, python: string): Promise<Comparison> {
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
      place: backendScript(backend),
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
async function providePython({ root, console }: Context): Promise<string> {
  const tool = join(root, "tools/xla/venv.mjs");
  const child = spawn(process.execPath, [tool], { stdio: ["ignore", "pipe", console.options.quiet ? "ignore" : "inherit"] });
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
    place: tool,
    remedy: `run \`node ${tool}\`, which prints the reason`,
  });
}

function lastLines(error: unknown): string {
  const stderr = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : "";
  return (stderr === "" ? String(error) : stderr).split("\n").slice(-4).join("\n");
}

function comparisonText(
  { judge: backend, collectives, ours_bytes, theirs_bytes, ratio, shardings, memory }: Comparison,
  all: boolean,
): string {
  const traffic = ({ count, bytes }: { count: number; bytes: number }): string[] =>
    count === 0 ? ["-", "-"] : [String(count), formatBytes(Math.round(bytes))];
  const right = { align: "right" } as const;
  const columns = [
    { title: "collective" },
    { title: "axis" },
    { title: "ours", ...right },
    { title: "bytes/chip", ...right },
    { title: backend, ...right },
    { title: "bytes/chip", ...right },
  ];
  const rows = collectives.map(({ op, axis, ours, theirs }) => [op, axis, ...traffic(ours), ...traffic(theirs)]);
  const total = ["all", "", "", formatBytes(Math.round(ours_bytes)), "", formatBytes(Math.round(theirs_bytes))];
  const lines = [textTable(columns, [...rows, total]), "", `a chip sends ${ratio.toFixed(3)} times the bytes of ${backend}`];
  if (memory !== undefined)
    lines.push(
      `memory of a chip: ours ${formatBytes(memory.ours.arguments)} of arguments, ${formatBytes(memory.ours.peak)} at the peak; ${backend} ${formatBytes(memory.theirs.arguments)} and ${formatBytes(memory.theirs.peak)}`,
    );
  if (shardings !== undefined) {
    const { compared, differences } = shardings;
    const shown = all ? differences : differences.slice(0, shownDifferences);
    lines.push("", `${differences.length} of ${counted(compared, "value")} ${differences.length === 1 ? "is" : "are"} sharded differently`);
    if (shown.length > 0) {
      const heads = [{ title: "value" }, { title: "ours" }, { title: backend }, { title: "origin of ours" }];
      lines.push(
        textTable(
          heads,
          shown.map(({ name, ours, theirs, reason }) => [name, ours, theirs, reason]),
        ),
      );
    }
    if (shown.length < differences.length) lines.push(`… and ${differences.length - shown.length} more: -v shows all of them`);
  }
  return lines.join("\n");
}
