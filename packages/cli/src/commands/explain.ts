import {
  type CostedValue,
  compareJobs,
  type ExplainedProgram,
  type ExplainOptions,
  explainJob,
  explainJobValue,
  jobWarnings,
  type PrintedStage,
  type ProgramDifference,
  printedStages,
  stageText,
} from "@lapidary/offline/explain";
import { seconds } from "@lapidary/offline/plan";
import type { ResolvedJob } from "@lapidary/offline/job-file";
import { isStepFile } from "@lapidary/offline/is-step-file";
import type { Paint } from "@lapidary/report/paint";
import { lossChunksText } from "@lapidary/report/plan-text";
import { explainedStepText } from "@lapidary/report/step-file-text";
import { counted, ExitCode, formatBytes, LapidaryError, suggest, textTable, type Warning } from "@lapidary/std";
import type { Context } from "../context.js";
import { consoleReporter } from "../terminal/console-reporter.js";
import { readJob } from "./job-file.js";

export interface ExplainRequest {
  readonly job: string;
  /** `key=value` overrides, and at most one name of a value. */
  readonly words: readonly string[];
  readonly stage: string | undefined;
  readonly diff: string | undefined;
  readonly compare: string | undefined;
  readonly program: string | undefined;
}

/**
 * `lapidary explain JOB [NAME]` explains a program. Without a name, it lists the collectives and their causes. With a name, it shows the layout of that value,
 * the decisions that led to it, and the alternatives. `--stage` prints the program after a stage, `--diff` compares two jobs.
 */
export async function explain(context: Context, request: ExplainRequest): Promise<ExitCode> {
  const { console } = context;
  const overrides = request.words.filter((word) => word.includes("="));
  const names = request.words.filter((word) => !word.includes("="));
  if (isStepFile(request.job)) return explainImported(context, request);
  if (names.length > 1) throw usage(`${names.length} names were given: ${names.join(", ")}`, "explain one value at a time");
  const job = await readJob(context, request.job, overrides);
  const warnings = jobWarnings(job);
  for (const warning of warnings) console.warn(warning);
  const options: ExplainOptions = { program: request.program, root: context.root };
  if (request.stage !== undefined) return printStage(context, job, request.stage, options, warnings);
  if (request.compare === "shardy" || request.compare === "xla") return compareWithBackend(context, job, request.compare, request.program);
  if (request.diff !== undefined) {
    const { diff } = request;
    // The overrides belong to the job before them.
    const difference = compareJobs(job, await readJob(context, diff, []), options);
    console.result({ a: request.job, b: diff, ...difference, warnings }, () =>
      differenceText(difference, request.job, diff, console.paint),
    );
    return ExitCode.done;
  }
  const [name] = names;
  if (name !== undefined) {
    const value = explainJobValue(job, name, { detail: (text) => console.detail(text) }, options);
    console.result({ ...value, warnings }, () => valueText(value, console.paint));
    return ExitCode.done;
  }
  const explained = explainJob(job, options);
  const mesh = Object.fromEntries(job.mesh.map((axis) => [axis.name, axis.size]));
  const { program, programs, lossChunks, collectives, contextStrategies } = explained;
  const { name: jobName, chips } = job;
  console.result(
    { job: jobName, program, programs, chips, mesh, loss_chunks: lossChunks, collectives, context: contextStrategies, warnings },
    () => collectivesText(job, explained, console.paint),
  );
  return ExitCode.done;
}

/** Explains the collectives of a step that JAX exported. */
async function explainImported(context: Context, { job, words }: ExplainRequest): Promise<ExitCode> {
  const { console } = context;
  const { compileStepFile, explainStepFile } = await import("@lapidary/offline/step-file");
  const subject = compileStepFile(job, context.cwd, words);
  const { warnings, name, mesh, chips } = subject;
  for (const warning of warnings) console.warn(warning);
  const explained = explainStepFile(subject);
  const axes = Object.fromEntries(mesh.axes.map((axis) => [axis.name, axis.size]));
  console.result({ job: name, chips, mesh: axes, ...explained, warnings }, () => explainedStepText(subject, explained, console.paint));
  return ExitCode.done;
}

function usage(message: string, remedy: string): LapidaryError {
  return new LapidaryError({ code: "LAP_CLI_ARGUMENT", message, location: "lapidary explain", remedy });
}

function printStage(
  { console }: Context,
  job: ResolvedJob,
  stage: string,
  options: ExplainOptions,
  warnings: readonly Warning[],
): ExitCode {
  if (!isPrintedStage(stage)) {
    const near = suggest(stage, printedStages);
    throw usage(`there is no stage "${stage}"`, near === undefined ? `stages are ${printedStages.join(", ")}` : `did you mean "${near}"?`);
  }
  const text = stageText(job, stage, options);
  console.result({ stage, text, warnings }, () => text);
  return ExitCode.done;
}

const isPrintedStage = (stage: string): stage is PrintedStage => (printedStages as readonly string[]).includes(stage);

async function compareWithBackend(
  { console, root }: Context,
  job: ResolvedJob,
  backend: "shardy" | "xla",
  program: string | undefined,
): Promise<ExitCode> {
  const [{ compareWithReference }, { backendComparisonText }] = await Promise.all([
    import("@lapidary/offline/backend-comparison"),
    import("@lapidary/report/backend-comparison-text"),
  ]);
  const reporter = consoleReporter(console);
  const comparison = await compareWithReference(job, backend, { root, quiet: console.options.quiet, program }, reporter);
  reporter.end();
  console.result({ job: job.name, chips: job.chips, ...comparison }, () => backendComparisonText(comparison, console.options.verbose));
  return ExitCode.done;
}

function collectivesText(job: ResolvedJob, explained: ExplainedProgram, paint: Paint): string {
  const { lossChunks, collectives, conflicts, exampleName, program, programs, contextStrategies } = explained;
  const total = collectives.reduce((sum, c) => sum + c.bytes_per_chip, 0);
  const lines = collectives.flatMap(({ op, axis, count, iterations, bytes_per_chip, share, phase, value, why }) => [
    `${paint.bold(`${op} over ${axis}`)}  ${value}  ${paint.dim(`${count} × in the ${phase} pass${iterations === undefined ? "" : ` (${count / iterations} × in each of ${iterations} iterations)`}, ${formatBytes(bytes_per_chip)} a chip, ${(100 * share).toFixed(1)} %`)}`,
    `    ${why}`,
  ]);
  return [
    `${job.name}: ${counted(job.chips, "chip")}, mesh ${job.mesh.map((axis) => `${axis.name}=${axis.size}`).join(",")}, ZeRO stage ${job.zero}. Each chip sends ${formatBytes(total)} in a run of ${program}:`,
    ...(lossChunks === 1 ? [] : [lossChunksText(lossChunks)]),
    "",
    ...(lines.length === 0 ? ["nothing: this program needs no collective"] : lines),
    "",
    ...contextStrategies.map(contextText),
    paint.dim(
      `${conflicts} claims of an axis lost to another claim; \`lapidary explain JOB NAME\` lists them for a value, such as ${exampleName}`,
    ),
    paint.dim(`--program explains another program of the job: ${programs.filter((name) => name !== program).join(", ")}`),
  ].join("\n");
}

const contextText = ({
  strategy,
  chosen,
  step_bytes_per_chip: bytes,
  step_time_s: time,
}: ExplainedProgram["contextStrategies"][number]): string => {
  const cost =
    bytes === null
      ? "not possible for this job"
      : `each chip sends ${formatBytes(bytes)} in a step${time === null ? "" : ` of ${seconds(time)} (predicted)`}`;
  return `context.strategy: ${strategy}${chosen ? " (this job)" : ""}: ${cost}`;
};

function valueText(value: CostedValue, paint: Paint): string {
  const dims = value.dims.map((dim, d) => [
    `  ${d}`,
    String(dim.size),
    dim.logical_axis ?? "-",
    dim.axes.join("+") || "whole",
    dim.decided_by.join(" ← "),
  ]);
  const section = (title: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : ["", paint.bold(title), ...lines]);
  return [
    `${paint.bold(value.name)}  ${value.type}  ${value.sharding}  ${formatBytes(value.bytes_per_chip)} a chip`,
    ...section(
      "Dims",
      value.dims.length === 0
        ? []
        : [
            textTable(
              [{ title: "  dim" }, { title: "size", align: "right" }, { title: "means" }, { title: "split over" }, { title: "decided by" }],
              dims,
            ),
          ],
    ),
    ...section("Which shard each chip of a pod holds", [value.layout]),
    ...section(
      "In the program of a chip",
      value.versions.flatMap((v) => [
        `  ${v.op} ${v.type} ${v.sharding}${v.bytes_moved_per_chip > 0 ? `  ${formatBytes(v.bytes_moved_per_chip)} a chip` : ""}`,
        ...(v.why === "" ? [] : [`      ${v.why}`]),
      ]),
    ),
    ...section(
      "Claims that lost",
      value.conflicts.map((text) => `  ${text}`),
    ),
    ...section(
      "What else was possible",
      [
        textTable(
          [
            { title: "  sharding" },
            { title: "a chip holds", align: "right" },
            { title: "one gather moves", align: "right" },
            { title: "a chip sends in a step", align: "right" },
            { title: "" },
          ],
          value.alternatives.map((a) => [
            `  ${a.sharding}`,
            formatBytes(a.bytes_per_chip),
            formatBytes(a.gather_bytes_per_chip),
            a.step_bytes_per_chip === null ? "not possible" : formatBytes(a.step_bytes_per_chip),
            a.chosen ? "chosen" : "",
          ]),
        ),
      ].slice(0, value.alternatives.length),
    ),
  ].join("\n");
}

function differenceText({ shardings, collectives }: ProgramDifference, a: string, b: string, paint: Paint): string {
  return [
    paint.bold(`Collectives of A (${a}) and B (${b})`),
    textTable(
      [
        { title: "op" },
        { title: "axis" },
        { title: "A", align: "right" },
        { title: "B", align: "right" },
        { title: "bytes per chip A", align: "right" },
        { title: "B", align: "right" },
      ],
      collectives.map((c) => [c.op, c.axis, String(c.count_a), String(c.count_b), formatBytes(c.bytes_a), formatBytes(c.bytes_b)]),
    ),
    "",
    shardings.length === 0 ? "All shardings are equal." : paint.bold(`${shardings.length} shardings differ`),
    ...(shardings.length === 0
      ? []
      : [
          textTable(
            [{ title: "value" }, { title: "A" }, { title: "B" }],
            shardings.map((s) => [s.name, s.a, s.b]),
          ),
        ]),
  ].join("\n");
}
