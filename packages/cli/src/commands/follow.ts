import type { DoneEvent, JobState, MetricsRow, StateEvent, StreamEvent } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { errorFromJSON, ExitCode, formatDuration, LapidaryError } from "@lapidary/std";
import type { Context } from "../context.js";
import { shareText, stateMeaning, stepLine } from "@lapidary/report/job-line";
import type { Progress } from "../terminal/progress.js";

/** The end of a job. */
export type Ending = Pick<DoneEvent, "state" | "error">;

/**
 * Shows the progress of a job until it ends, or until `signal` is aborted. Past events are shown like new events.
 *
 * @param onRow receives every row of metrics
 * @returns the end of the job; undefined after an abort
 */
export async function followJob(
  context: Context,
  client: CoordinatorClient,
  id: string,
  signal: AbortSignal,
  onRow: (row: MetricsRow) => void = () => undefined,
): Promise<Ending | undefined> {
  const progress = context.console.progress();
  try {
    return await followOn(progress, context, client, { id, label: "" }, signal, onRow);
  } finally {
    progress.end();
  }
}

/** A job on a progress line that it may share with others. `label` begins the text of its line. */
export interface LabelledJob {
  readonly id: string;
  readonly label: string;
}

/** As `followJob`, on a given progress line. */
export async function followOn(
  progress: Progress,
  context: Context,
  client: CoordinatorClient,
  { id, label }: LabelledJob,
  signal: AbortSignal,
  onRow: (row: MetricsRow) => void = () => undefined,
): Promise<Ending | undefined> {
  const { steps } = await client.get(id);
  const show = new JobProgress(progress, context, steps, label);
  for await (const event of client.stream(id, { signal })) {
    show.event(event);
    if (event.event === "metrics") onRow(event.data);
    if (event.event === "done") return event.data;
  }
  if (signal.aborted) return undefined;
  // The stream of a job that ended earlier may have no `done` event.
  const { state, error } = await client.get(id);
  return state === "done" || state === "failed" || state === "cancelled" ? { state, ...(error === undefined ? {} : { error }) } : undefined;
}

/** The progress of one job on a progress line. */
class JobProgress {
  readonly #progress: Progress;
  #state: JobState = "queued";

  constructor(
    progress: Progress,
    private readonly context: Context,
    private readonly steps: number,
    private readonly label: string,
  ) {
    this.#progress = progress;
  }

  event(event: StreamEvent): void {
    switch (event.event) {
      case "state":
        return this.#showState(event.data);
      case "metrics":
        if (event.data.kind === "train") return this.#progress.update(`${this.label}train`, stepLine(event.data, this.steps));
        this.#progress.flush();
        return this.context.console.say(
          `${this.label}step ${event.data.step}: held-out loss ${event.data.heldout_loss.toFixed(3)}, unigram ${event.data.unigram_loss.toFixed(3)}`,
        );
      case "log":
        return this.context.console.detail(`${event.data.source}: ${event.data.line}`);
      case "done":
        return this.#progress.flush();
    }
  }

  #showState({ state, activity, slice, workers, waiting_for }: StateEvent): void {
    if (state !== this.#state && slice !== undefined)
      this.context.console.detail(`slice ${slice.dims.join("x")} at chip ${slice.origin.join(",")}`);
    if (workers !== undefined)
      this.context.console.detail(`workers ${workers.map(({ worker, pid }) => `${worker} (process ${pid})`).join(", ")}`);
    this.#state = state;
    const since = this.context.clock.monotonic();
    const elapsed = (): string => (this.context.console.interactive ? formatDuration(this.context.clock.monotonic() - since) : "");
    this.#progress.update(
      `${this.label}${activity === undefined ? (waiting_for === undefined ? stateMeaning[state] : `waits for ${waiting_for.join(", ")}`) : activity.what}`,
      activity === undefined || shareText(activity) === "" ? elapsed : shareText(activity),
    );
  }
}

/** The exit code of a command that followed a job to its end. */
export function endingExit(state: Ending["state"]): ExitCode {
  return state === "done" ? ExitCode.done : state === "cancelled" ? ExitCode.cancelled : ExitCode.jobFailed;
}

/** The error of a job that failed or was cancelled. An error in the job file keeps its exit code. */
export function endingError(id: string, { state, error }: Ending): LapidaryError {
  if (state === "cancelled")
    return new LapidaryError({
      code: "LAP_JOB_CANCELLED",
      message: `the job was cancelled${error === undefined ? "" : `: ${error.message}`}`,
      location: `run ${id}`,
      remedy: "launch it again if you need it",
    });
  if (error === undefined)
    return new LapidaryError({
      code: "LAP_JOB_FAILED",
      message: "the job failed",
      location: `run ${id}`,
      remedy: `\`lapidary logs ${id}\` shows the details`,
    });
  const { code, exit, location = `run ${id}`, remedy } = errorFromJSON(error);
  const mistake = exit === ExitCode.usage || exit === ExitCode.doesNotFit;
  return new LapidaryError({ code, message: `the job failed: ${error.message}`, location, remedy, during: mistake ? undefined : "job" });
}
