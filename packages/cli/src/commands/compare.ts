import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Program } from "@lapidary/compiler";
import { type Comparison, compareWith, type Judge, judgeScript, parseVerdict, statedShardings, wholeModule } from "@lapidary/interop";
import { ExitCode, formatBytes, LapidaryError, textTable, counted } from "@lapidary/std";
import { compileJob, type ResolvedJob } from "@lapidary/training";
import type { Context } from "../context.js";

const execute = promisify(execFile);
const shownDifferences = 40;

/** `lapidary explain JOB --compare shardy|xla`: our shardings and collectives beside those of another compiler, for the same text. */
export async function compareJob(context: Context, job: ResolvedJob, judge: Judge): Promise<ExitCode> {
  const { console } = context;
  const progress = console.progress();
  progress.update("compile");
  const program = compileJob(job, { verify: false });
  progress.update("provide JAX");
  const python = await providePython(context);
  progress.update(judge === "shardy" ? "ask Shardy's passes" : `compile by XLA for ${job.chips} devices`);
  const comparison = await compareProgram(program, judge, python);
  progress.end();
  console.result({ job: job.name, chips: job.chips, ...comparison }, () => comparisonText(comparison, console.options.verbose));
  return ExitCode.done;
}

/** @param python an interpreter that has the pinned JAX */
export async function compareProgram(program: Program, judge: Judge, python: string): Promise<Comparison> {
  const directory = await mkdtemp(join(tmpdir(), "lapidary-compare-"));
  try {
    const path = join(directory, "whole.mlir");
    await writeFile(path, wholeModule(program.global, statedShardings(program.propagated)));
    const { stdout } = await execute(python, [judgeScript(judge), path], { maxBuffer: 1 << 30 });
    return compareWith(judge, program, parseVerdict(stdout));
  } catch (cause) {
    throw new LapidaryError({
      code: "LAP_COMPARE_FAILED",
      message: `${judge} could not be asked: ${lastLines(cause)}`,
      place: judgeScript(judge),
      remedy: judge === "xla" ? "try fewer chips, or --compare shardy, which compiles nothing" : "run it by hand on an exported whole.mlir",
      cause,
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The interpreter of the environment with the pinned JAX; the tool makes it where it is missing, and shows how that goes. */
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
    message: "JAX could not be provided",
    place: tool,
    remedy: `run \`node ${tool}\`, which says why`,
  });
}

function lastLines(error: unknown): string {
  const told = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : "";
  return (told === "" ? String(error) : told).split("\n").slice(-4).join("\n");
}

function comparisonText({ judge, collectives, ours_bytes, theirs_bytes, ratio, shardings, memory }: Comparison, all: boolean): string {
  const traffic = ({ count, bytes }: { count: number; bytes: number }): string[] =>
    count === 0 ? ["-", "-"] : [String(count), formatBytes(Math.round(bytes))];
  const right = { align: "right" } as const;
  const columns = [
    { title: "collective" },
    { title: "axis" },
    { title: "ours", ...right },
    { title: "bytes/chip", ...right },
    { title: judge, ...right },
    { title: "bytes/chip", ...right },
  ];
  const rows = collectives.map(({ op, axis, ours, theirs }) => [op, axis, ...traffic(ours), ...traffic(theirs)]);
  const total = ["all", "", "", formatBytes(Math.round(ours_bytes)), "", formatBytes(Math.round(theirs_bytes))];
  const lines = [textTable(columns, [...rows, total]), "", `a chip sends ${ratio.toFixed(3)} times what ${judge} has it send`];
  if (memory !== undefined)
    lines.push(
      `memory of a chip: ours ${formatBytes(memory.ours.arguments)} held, ${formatBytes(memory.ours.peak)} at the peak; ${judge} ${formatBytes(memory.theirs.arguments)} and ${formatBytes(memory.theirs.peak)}`,
    );
  if (shardings !== undefined) {
    const { compared, differences } = shardings;
    const shown = all ? differences : differences.slice(0, shownDifferences);
    lines.push("", `${differences.length} of ${counted(compared, "value")} lie otherwise over the mesh`);
    if (shown.length > 0) {
      const heads = [{ title: "value" }, { title: "ours" }, { title: judge }, { title: "why ours" }];
      lines.push(
        textTable(
          heads,
          shown.map(({ name, ours, theirs, reason }) => [name, ours, theirs, reason]),
        ),
      );
    }
    if (shown.length < differences.length) lines.push(`… and ${differences.length - shown.length} more: -v shows them all`);
  }
  return lines.join("\n");
}
