import {
  compareJobs,
  type ExplainOptions,
  explainJob,
  explainJobValue,
  jobWarnings,
  type PrintedStage,
  printedStages,
  stageText,
} from "@lapidary/offline/explain";
import type { ResolvedJob } from "@lapidary/offline/job-file";
import { isStepFile } from "@lapidary/offline/is-step-file";
import { collectivesText, differenceText, programText, valueText } from "@lapidary/report/explain-text";
import { explainedStepText } from "@lapidary/report/step-file-text";
import { ExitCode, LapidaryError, suggest, type Warning } from "@lapidary/std";
import type { Context } from "../context.js";
import { consoleReporter } from "../terminal/console-reporter.js";
import { showPaged } from "../terminal/pager.js";
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
    await showPaged(context, { a: request.job, b: diff, ...difference, warnings }, () =>
      differenceText(difference, request.job, diff, console.paint),
    );
    return ExitCode.done;
  }
  const [name] = names;
  if (name !== undefined) {
    const value = explainJobValue(job, name, { detail: (text) => console.detail(text) }, options);
    await showPaged(context, { ...value, warnings }, () => valueText(value, console.paint));
    return ExitCode.done;
  }
  const explained = explainJob(job, options);
  const mesh = Object.fromEntries(job.mesh.map((axis) => [axis.name, axis.size]));
  const { program, programs, lossChunks, collectives, stages, contextStrategies } = explained;
  const { name: jobName, chips } = job;
  await showPaged(
    context,
    { job: jobName, program, programs, chips, mesh, loss_chunks: lossChunks, collectives, stages, context: contextStrategies, warnings },
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
  await showPaged(context, { job: name, chips, mesh: axes, ...explained, warnings }, () =>
    explainedStepText(subject, explained, console.paint),
  );
  return ExitCode.done;
}

function usage(message: string, remedy: string): LapidaryError {
  return new LapidaryError({ code: "LAP_CLI_ARGUMENT", message, location: "lapidary explain", remedy });
}

async function printStage(
  context: Context,
  job: ResolvedJob,
  stage: string,
  options: ExplainOptions,
  warnings: readonly Warning[],
): Promise<ExitCode> {
  if (!isPrintedStage(stage)) {
    const near = suggest(stage, printedStages);
    throw usage(`there is no stage "${stage}"`, near === undefined ? `stages are ${printedStages.join(", ")}` : `did you mean "${near}"?`);
  }
  const text = stageText(job, stage, options);
  await showPaged(context, { stage, text, warnings }, () => programText(text, context.console.paint));
  return ExitCode.done;
}

const isPrintedStage = (stage: string): stage is PrintedStage => (printedStages as readonly string[]).includes(stage);

async function compareWithBackend(
  context: Context,
  job: ResolvedJob,
  backend: "shardy" | "xla",
  program: string | undefined,
): Promise<ExitCode> {
  const { console, root } = context;
  const [{ compareWithReference }, { backendComparisonText }] = await Promise.all([
    import("@lapidary/offline/backend-comparison"),
    import("@lapidary/report/backend-comparison-text"),
  ]);
  const reporter = consoleReporter(console);
  const comparison = await compareWithReference(job, backend, { root, quiet: console.options.quiet, program }, reporter);
  reporter.end();
  await showPaged(context, { job: job.name, chips: job.chips, ...comparison }, () =>
    backendComparisonText(comparison, console.options.verbose),
  );
  return ExitCode.done;
}
