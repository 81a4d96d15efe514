import {
  type JobDetail,
  type JobState,
  type JobSummary,
  type PipelineCancelled,
  type Report,
  type StreamEvent,
  isFinal,
  jobStates,
} from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { ExitCode, LapidaryError, formatCount, formatDuration, suggest, textTable, counted } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { expertsText } from "@lapidary/report/experts-text";
import { goodputText } from "@lapidary/report/goodput-text";
import { activityText, stateMeaning, stepLine } from "@lapidary/report/job-line";
import { pipelineText, stateText } from "@lapidary/report/pipeline-text";
import { runReport } from "@lapidary/report/run-report";
import type { Paint } from "@lapidary/report/paint";
import { adviceLines } from "@lapidary/report/top-frame";
import { adviceFor } from "./advice.js";
import { allMetrics, connect, withReader } from "./connect.js";
import { type Ending, endingExit } from "./follow.js";
import { comparisonsOf, followPipeline, pipelineExit, printPipeline } from "./pipeline-end.js";

const defaultLimit = 20;

export async function listJobs(
  context: Context,
  { state, limit = defaultLimit }: { readonly state: string | undefined; readonly limit: number | undefined },
): Promise<ExitCode> {
  const { console } = context;
  const states = state === undefined ? undefined : readStates(state);
  const { jobs, next_cursor } = await withReader(context, (client) =>
    client.list({ limit, ...(states === undefined ? {} : { state: states }) }),
  );
  console.result({ jobs }, () => (jobs.length === 0 ? "no jobs" : jobTable(jobs, context.clock.now(), console.paint)));
  if (next_cursor !== undefined) console.say(`older jobs are not shown; --limit ${limit * 5} shows more`);
  return ExitCode.done;
}

function readStates(text: string): JobState[] {
  return text.split(",").map((word) => {
    const state = jobStates.find((known) => known === word.trim());
    if (state !== undefined) return state;
    const near = suggest(word, jobStates);
    throw argumentError(
      `invalid state of a job: "${word}"`,
      "--state",
      near === undefined ? `choose from ${jobStates.join(", ")}` : `did you mean "${near}"?`,
    );
  });
}

function jobTable(jobs: readonly JobSummary[], now: number, paint: Paint): string {
  const rows = jobs.map((job) => [
    job.id,
    stateText(job),
    job.model,
    job.mesh,
    `${job.step}/${job.steps}`,
    job.loss?.toFixed(3) ?? "",
    job.heldout_loss?.toFixed(3) ?? "",
    `${formatDuration(now - job.created_at)} ago`,
    runtime(job, now),
  ]);
  const text = textTable(
    [
      { title: "id" },
      { title: "state" },
      { title: "model" },
      { title: "mesh" },
      { title: "step", align: "right" },
      { title: "loss", align: "right" },
      { title: "held-out", align: "right" },
      { title: "launched", align: "right" },
      { title: "ran", align: "right" },
    ],
    rows,
  );
  const [head = "", ...lines] = text.split("\n");
  return [paint.dim(head), ...lines].join("\n");
}

const runtime = ({ started_at, finished_at }: JobSummary, now: number): string =>
  started_at === undefined ? "" : formatDuration((finished_at ?? now) - started_at);

export const getJob = (context: Context, id: string): Promise<ExitCode> =>
  withReader(context, (client, isLive) => showJob(context, client, id, isLive));

async function showJob(context: Context, client: CoordinatorClient, id: string, isLive: boolean): Promise<ExitCode> {
  const { console } = context;
  const job = await jobOrPipeline(
    () => client.get(id),
    () => client.pipeline(id),
  );
  if ("jobs" in job) {
    const comparisons = await comparisonsOf(client, job);
    const reports = Object.fromEntries(comparisons.map(({ name, report }) => [name, report.comparison]));
    console.result({ ...job, comparisons: reports }, () => pipelineText(job, comparisons));
    return ExitCode.done;
  }
  const report = job.state === "done" ? await client.report(id) : undefined;
  const metrics = report === undefined || console.options.json ? [] : await allMetrics(context, client, id);
  // The program, which most advice is about, is a route of the page.
  const advice = isLive ? await adviceFor(client, job) : [];
  console.result({ ...job, report: report ?? null, advice }, () =>
    [jobText(job, report, context.clock.now()), ...adviceLines(advice, console.paint)].join("\n"),
  );
  if (report !== undefined) console.text(runReport(report, metrics, { columns: console.columns, paint: console.paint }));
  return ExitCode.done;
}

/** What a word names: a run, else a pipeline. @throws the error of the run if it is neither */
async function jobOrPipeline<A, B>(ofRun: () => Promise<A>, ofPipeline: () => Promise<B>): Promise<A | B> {
  try {
    return await ofRun();
  } catch (error) {
    const isUnknown = (thrown: unknown): boolean => thrown instanceof LapidaryError && thrown.code === "LAP_JOB_UNKNOWN";
    if (!isUnknown(error)) throw error;
    return await ofPipeline().catch((other: unknown) => {
      throw isUnknown(other) ? error : other;
    });
  }
}

function jobText(job: JobDetail, report: Report | undefined, now: number): string {
  const { slice, error, workers, parameters } = job;
  const rows: (readonly [string, string | undefined])[] = [
    ["run", job.id],
    ["state", `${stateText(job)}${job.activity === undefined ? "" : `: ${activityText(job.activity)}`}`],
    ["pipeline", job.pipeline],
    ["model", `${job.model}${parameters === undefined ? "" : ` (${formatCount(parameters)} parameters)`}`],
    ["dataset", job.dataset],
    ["pod", job.dataset === undefined ? job.pod : undefined],
    ["mesh", job.dataset === undefined ? `${job.mesh} (${counted(job.chips, "chip")})` : undefined],
    ["slice", slice === undefined ? undefined : `${slice.dims.join("x")} at chip ${slice.origin.join(",")} of pod ${slice.pod}`],
    ["workers", workers?.map(({ worker, pid }) => `${worker} (process ${pid})`).join(", ")],
    ["progress", progressText(job)],
    ["experts", expertsText(job.metrics)],
    ["goodput", goodputText(job.goodput)],
    ["launched", new Date(job.created_at).toISOString()],
    ["ran", runtime(job, now) || undefined],
    ["files", job.directory],
    ...(job.warnings ?? []).flatMap(({ code, message, remedy }): [string, string][] => [
      ["warning", `${code}: ${message}`],
      ["", `remedy: ${remedy}`],
    ]),
    ["error", error === undefined || report !== undefined ? undefined : `${error.code}: ${error.message}`],
    ["", error?.place === undefined ? undefined : `place:  ${error.place}`],
    ["", error === undefined ? undefined : `remedy: ${error.remedy}`],
  ];
  return rows.flatMap(([name, value]) => (value === undefined ? [] : [`${name.padEnd(10)}${value}`])).join("\n");
}

function progressText({ step, steps, loss, tokens_per_s, eta_s, dataset }: JobDetail): string {
  if (dataset !== undefined) return `${step} of ${steps} stages`;
  if (loss === undefined) return `step ${step}/${steps}`;
  return stepLine({ step, loss, tokens_per_s: tokens_per_s ?? 0, eta_s: eta_s ?? 0 }, steps);
}

/** Waits for the end of a job, or of all jobs of a pipeline; the exit code reports the final state. */
export async function waitForJob(context: Context, id: string, timeout_s: number | undefined): Promise<ExitCode> {
  const { console, interrupts } = context;
  const client = await connect(context);
  const signals = [interrupts.signal, ...(timeout_s === undefined ? [] : [AbortSignal.timeout(timeout_s * 1000)])];
  const signal = AbortSignal.any(signals);
  const found = await jobOrPipeline(
    () => client.get(id),
    () => client.pipeline(id),
  );
  if ("jobs" in found) {
    const hasEnded = await followPipeline(context, client, found.jobs, signal);
    interrupts.signal.throwIfAborted();
    if (!hasEnded) return notFinished(id, (await client.pipeline(id)).state, timeout_s);
    return pipelineExit(await printPipeline(context, client, id));
  }
  const progress = console.progress();
  progress.update(`wait for run ${id}`);
  const ending = await endOf(client, id, signal);
  progress.end();
  interrupts.signal.throwIfAborted();
  if (ending === undefined) return notFinished(id, (await client.get(id)).state, timeout_s);
  const { state, error } = ending;
  console.result(
    { id, state, failure: error ?? null },
    () => `run ${id} ${stateMeaning[state]}${error === undefined ? "" : `: ${error.message}`}`,
  );
  return endingExit(state);
}

function notFinished(id: string, state: JobState, timeout_s: number | undefined): never {
  throw new LapidaryError({
    code: "LAP_JOB_NOT_FINISHED",
    message: `the job still ${stateMeaning[state]}${timeout_s === undefined ? "" : `, after ${timeout_s} s`}`,
    location: `run ${id}`,
    remedy: `wait again, or show the job with \`lapidary jobs get ${id}\``,
  });
}

async function endOf(client: CoordinatorClient, id: string, signal: AbortSignal): Promise<Ending | undefined> {
  const { state, error } = await client.get(id);
  if (state === "done" || state === "failed" || state === "cancelled") return { state, ...(error === undefined ? {} : { error }) };
  for await (const event of client.stream(id, { signal })) if (event.event === "done") return event.data;
  return undefined;
}

export async function cancelJob(context: Context, id: string): Promise<ExitCode> {
  const { console } = context;
  const client = await connect(context);
  const cancelled = await jobOrPipeline(
    () => client.cancel(id),
    () => client.cancelPipeline(id),
  );
  if ("running" in cancelled) {
    console.result(cancelled, () => cancelledText(cancelled));
    return ExitCode.done;
  }
  console.result(cancelled, () =>
    cancelled.state === "cancelled"
      ? `run ${id} is cancelled`
      : isFinal(cancelled.state)
        ? `run ${id} had ended before: it ${stateMeaning[cancelled.state]}`
        : `run ${id} is being cancelled`,
  );
  return ExitCode.done;
}

function cancelledText({ id, cancelled, running }: PipelineCancelled): string {
  const ended = cancelled.length === 0 ? `no job of pipeline ${id} waits` : `cancelled ${cancelled.join(", ")}`;
  return [ended, ...running.map((run) => `run ${run} goes on: \`lapidary jobs cancel ${run}\` ends it`)].join("\n");
}

export async function resumeJob(context: Context, id: string, overrides: readonly string[]): Promise<ExitCode> {
  const { console } = context;
  const client = await connect(context);
  const resumed = await client.resume(id, { overrides: [...overrides] });
  for (const warning of resumed.warnings) console.warn(warning);
  console.result(resumed, () =>
    resumed.goes_on === true
      ? `run ${id} goes on with what its output has`
      : resumed.from_step === 0
        ? `run ${id} starts again from step 0, because it has no checkpoint`
        : `run ${id} resumes after step ${resumed.from_step}`,
  );
  console.say(`follow it with \`lapidary logs ${id} --follow\`, or wait for it with \`lapidary jobs wait ${id}\``);
  return ExitCode.done;
}

/** All events so far, and with `follow` also later events; with `--json` one per line. */
export async function jobEvents(context: Context, id: string, follow: boolean): Promise<ExitCode> {
  const { console, interrupts } = context;
  await withReader(context, async (client, isLive) => {
    for await (const event of client.stream(id, { follow: follow && isLive, signal: interrupts.signal }))
      console.result(event, () => eventText(event));
  });
  interrupts.signal.throwIfAborted();
  return ExitCode.done;
}

function eventText(event: StreamEvent): string {
  const time = new Date(event.data.time).toISOString().slice(11, 23);
  return `${time}  ${event.event.padEnd(7)}  ${eventDetail(event)}`;
}

const recipeMetrics = (metrics: Readonly<Record<string, number>> = {}): string =>
  Object.entries(metrics)
    .map(([name, value]) => `  ${name} ${value.toPrecision(4)}`)
    .join("");

const normAndRate = ({
  grad_norm,
  learning_rate,
}: {
  readonly grad_norm?: number | undefined;
  readonly learning_rate?: number | undefined;
}): string =>
  `${grad_norm === undefined ? "" : `  grad norm ${grad_norm.toFixed(3)}`}${learning_rate === undefined ? "" : `  lr ${learning_rate.toExponential(2)}`}`;

function eventDetail(event: StreamEvent): string {
  switch (event.event) {
    case "state":
      return [event.data.state, ...(event.data.activity === undefined ? [] : [activityText(event.data.activity)])].join(": ");
    case "metrics":
      return event.data.kind === "train"
        ? `step ${event.data.step}  loss ${event.data.loss.toFixed(4)}${normAndRate(event.data)}  ${Math.round(event.data.step_ms)} ms${recipeMetrics(event.data.metrics)}`
        : `step ${event.data.step}  held-out loss ${event.data.heldout_loss.toFixed(4)}  unigram ${event.data.unigram_loss.toFixed(4)}${recipeMetrics(event.data.metrics)}`;
    case "log":
      return `${event.data.source}: ${event.data.line}`;
    case "done":
      return `${event.data.state}${event.data.error === undefined ? "" : `: ${event.data.error.message}`}`;
  }
}
