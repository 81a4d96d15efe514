import { resolve } from "node:path";
import { type CompileReport, compileForTpu as compileStep, installTpuCompiler } from "@lapidary/offline/compile";
import { ExitCode, formatBytes, LapidaryError, textTable } from "@lapidary/std";
import type { Context } from "../context.js";
import { checkOutput } from "../output/output.js";
import { consoleReporter } from "../terminal/console-reporter.js";
import type { Paint } from "@lapidary/report/paint";
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

/** `lapidary compile JOB`: compiles the step with Google's TPU compiler and compares it with Lapidary's plan. Needs no TPU. */
export async function compileForTpu(context: Context, request: CompileRequest): Promise<ExitCode> {
  const { console, cwd, root, clock } = context;
  if (request.install) await installTpuCompiler(root, console.options.quiet, { say: (text) => console.say(text) });
  if (request.job === undefined) {
    if (request.install) return ExitCode.done;
    throw usage("the job file is missing", "give a job file, such as configs/jobs/nano16.yaml");
  }
  const job = readJob(context, request.job, request.overrides);
  const hlo = request.hlo === undefined ? undefined : resolve(cwd, request.hlo);
  if (hlo !== undefined) checkOutput({ kind: "file", path: hlo, what: "the optimized program" });
  const text = request.text === "chip" ? "chip" : "whole";
  const reporter = consoleReporter(console);
  try {
    const report = await compileStep({ job, chip: request.chip, text, hlo }, context, clock, reporter);
    reporter.end();
    console.result(report, () => reportText(report, console.paint));
    if (report.fits) return ExitCode.done;
    if (console.options.json) console.warn(shortText(report));
    return ExitCode.doesNotFit;
  } finally {
    reporter.end();
  }
}

const usage = (message: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_CLI_ARGUMENT", message, location: "lapidary compile", remedy });

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
