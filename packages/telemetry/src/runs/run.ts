import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  assert,
  type Clock,
  isSystemError,
  jsonText,
  type JsonValue,
  LapidaryError,
  ensure,
  redactSecrets,
  redactStrings,
  systemError,
  replaceFile,
  syncDirectory,
} from "@lapidary/std";
import { z } from "zod";
import {
  type Activity,
  type ErrorJson,
  type GoodputReport,
  isFinal,
  type JobState,
  type JobSummary,
  jobSummarySchema,
  type LogLine,
  type MetricsRow,
  type Report,
  type StreamEvent,
  nameSchema,
  type WarningJson,
} from "@lapidary/api";
import { heldoutLossesOf } from "@lapidary/api/heldout-losses";
import { type SlicePlace } from "@lapidary/api/api-values";
import { describeEvent } from "@lapidary/api/describe-event";
import type { RunEvent } from "@lapidary/api/run-events";
import { newJobFilePath } from "@lapidary/api/job-file-path";
import { Journal, readJournal } from "./journal.js";

/** The properties of a run that never change. */
const runIdentitySchema = z.strictObject({
  id: nameSchema,
  created_at: z.number(),
  priority: z.number().int(),
  /** Its id in the queue. It differs from the name, because the name of a removed run can be used again. */
  queue_id: z.string(),
  /** Hash of the resolved job: submitting it again under the same name does not create another run. */
  fingerprint: z.string(),
  /** The resolved job file. */
  job: z.json(),
  model: z.string(),
  pod: z.string(),
  mesh: z.string(),
  chips: z.number().int(),
  steps: z.number().int(),
  /** The pipeline that it belongs to, and the runs that must be done before it starts. */
  pipeline: nameSchema.optional(),
  needs: z.array(nameSchema).optional(),
  /** What a data pipeline writes. */
  dataset: z.string().optional(),
});
export type RunIdentity = Omit<z.infer<typeof runIdentitySchema>, "job"> & { readonly job: JsonValue };

/**
 * The files of one run. Everything that the API reports about it comes from them.
 *
 *     runs/<id>/  run.json          properties that never change    job.json        the resolved job file
 *                 summary.json      state and latest numbers        report.json     once it is done
 *                 events.jsonl, metrics.jsonl                       its journal
 *                 logs/             coordinator.log, worker-N.log   checkpoints/    step-N/
 *                 ledger.jsonl      its committed steps             epochs/         fence: the newest attempt may write
 *                 resume.json       overrides of each resume
 */
export const runFiles = {
  identity: "run.json",
  resume: "resume.json",
  summary: "summary.json",
  report: "report.json",
  logs: "logs",
  checkpoints: "checkpoints",
} as const;

/** Maximum number of log lines of workers that are events too. All lines are in the log files. */
const maxLogEvents = 20_000;

/**
 * The history of a run, from its files. Only the coordinator writes, and only through this class.
 *
 * Invariants: the journal has one `done` event, its last, exactly when the state is final; `summary.json` is replaced whole.
 */
export class Run {
  readonly #clock: Clock;
  #summary: JobSummary;
  #journal: Journal | undefined;
  #logEvents = 0;
  #settled: Promise<void>;
  #settle: () => void = () => undefined;

  private constructor(
    readonly directory: string,
    readonly identity: RunIdentity,
    summary: JobSummary,
    clock: Clock,
  ) {
    this.#clock = clock;
    this.#summary = summary;
    this.#settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
    if (isFinal(summary.state)) this.#settle();
  }

  /**
   * Creates the directory, which must not exist.
   *
   * @throws LAP_FILE_… if the disk fails; then no file of the run remains
   */
  static create(directory: string, identity: RunIdentity, jobFile: string, clock: Clock): Run {
    try {
      return Run.#create(directory, identity, jobFile, clock);
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw isSystemError(error) ? systemError(error, { doing: "write the files of the run", place: directory }) : error;
    }
  }

  static #create(directory: string, identity: RunIdentity, jobFile: string, clock: Clock): Run {
    mkdirSync(directory);
    for (const folder of [runFiles.logs, runFiles.checkpoints]) mkdirSync(join(directory, folder));
    replaceFile(newJobFilePath(directory), jobFile);
    const { id, priority, model, pod, mesh, chips, steps, created_at, pipeline, needs = [], dataset } = identity;
    const waiting = needs.length === 0 ? {} : { waiting_for: needs };
    const run = new Run(
      directory,
      identity,
      {
        id,
        state: "queued",
        ...(pipeline === undefined ? {} : { pipeline }),
        ...(dataset === undefined ? {} : { dataset }),
        ...waiting,
        ...{ priority, model, pod, mesh, chips, created_at, step: 0, steps },
      },
      clock,
    );
    run.#save();
    run.#open().append({ event: "state", data: { time: clock.now(), state: "queued", ...waiting } });
    // A job that was submitted survives a power cut, so its files are durable before the directory becomes a run.
    run.sync();
    // Written last: a directory without it is not a run.
    replaceFile(join(directory, runFiles.identity), JSON.stringify(identity, null, 2));
    for (const path of [directory, dirname(directory)]) syncDirectory(path);
    return run;
  }

  /** A run of an earlier process, or undefined if the directory has none. */
  static async load(directory: string, clock: Clock): Promise<Run | undefined> {
    const [identityPath, summaryPath] = [join(directory, runFiles.identity), join(directory, runFiles.summary)];
    if (!existsSync(identityPath) || !existsSync(summaryPath)) return undefined;
    const identity = runIdentitySchema.parse(JSON.parse(readFileSync(identityPath, "utf8")));
    const run = new Run(
      directory,
      { ...identity, job: identity.job as JsonValue },
      jobSummarySchema.parse(JSON.parse(readFileSync(summaryPath, "utf8"))),
      clock,
    );
    if (!isFinal(run.state)) for (const event of await readJournal(directory)) run.#fold(event);
    return run;
  }

  get id(): string {
    return this.identity.id;
  }

  get summary(): JobSummary {
    return this.#summary;
  }

  get state(): JobState {
    return this.#summary.state;
  }

  /** Settles once the state is final. */
  get settled(): Promise<void> {
    return this.#settled;
  }

  /** Enters a state, or reports the current activity in it. */
  enter(
    state: Exclude<JobState, "done" | "failed" | "cancelled">,
    more: { activity?: Activity; slice?: SlicePlace; workers?: readonly { worker: number; pid: number }[]; fromStep?: number } = {},
  ): void {
    if (isFinal(this.state)) return;
    const { activity, slice, workers, fromStep } = more;
    const changed = state !== this.state;
    const time = this.#clock.now();
    this.#append({
      event: "state",
      data: {
        time,
        state,
        ...(activity === undefined ? {} : { activity }),
        ...(slice === undefined ? {} : { slice }),
        ...(workers === undefined ? {} : { workers: [...workers] }),
        ...(fromStep === undefined ? {} : { from_step: fromStep }),
      },
    });
    if (changed) this.#save();
  }

  /** The runs that must be done before it starts. */
  get needs(): readonly string[] {
    return this.identity.needs ?? [];
  }

  /** Records which of its needs it still waits for. */
  waitFor(needs: readonly string[]): void {
    if (this.state !== "queued" || needs.join() === (this.#summary.waiting_for ?? []).join()) return;
    const waiting = needs.length === 0 ? {} : { waiting_for: [...needs] };
    this.#append({ event: "state", data: { time: this.#clock.now(), state: "queued", ...waiting } });
    this.#save();
  }

  /** Resumes a run that has ended: it waits for its chips again, and continues after its last durable step. */
  resume(steps: number, mesh: string): void {
    assert(isFinal(this.state) && this.state !== "done", "a run that has failed or was cancelled", this.id);
    // The resumed job gets its own warnings.
    const { finished_at: _, error: __, warnings: ___, goodput, ...before } = this.#summary;
    const resumed = (before.resumed ?? 0) + 1;
    // The time between the end and now does not count as lost.
    const continued = goodput === undefined ? {} : { goodput: { ...goodput, time: this.#clock.now() } };
    this.#summary = { ...before, ...continued, state: "queued", resumed, steps, mesh };
    this.#settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#append({ event: "state", data: { time: this.#clock.now(), state: "queued", resumed } });
    this.#save();
  }

  /**
   * Takes over a run whose coordinator died: it waits for its chips again. It gets another id in the queue, because the old one is locked for
   * some time.
   */
  takeOver(): void {
    assert(!isFinal(this.state) && this.state !== "queued", "a run in progress", this.id);
    const resumed = (this.#summary.resumed ?? 0) + 1;
    this.#append({ event: "state", data: { time: this.#clock.now(), state: "queued", resumed } });
    this.#save();
  }

  /** Its id in the queue, which changes with each resume. The run ignores deliveries of older ids. */
  get queueId(): string {
    const { resumed } = this.#summary;
    return resumed === undefined ? this.identity.queue_id : `${this.identity.queue_id}-${resumed}`;
  }

  /** Makes all records so far survive a power cut. */
  sync(): void {
    this.#journal?.sync();
  }

  /** Sets the use of the run's time, which is part of the summary. @param save whether to write it to disk now, as at the end of the run */
  goodput(report: GoodputReport, save = false): void {
    this.#summary = { ...this.#summary, goodput: report };
    if (save) this.#save();
  }

  /** Adds warnings about the job to the run and to its log. */
  warn(warnings: readonly WarningJson[]): void {
    if (warnings.length === 0) return;
    this.#summary = { ...this.#summary, warnings: [...(this.#summary.warnings ?? []), ...warnings] };
    this.#save();
    for (const warning of warnings) this.record({ type: "warning_found", ...warning });
  }

  metrics(row: MetricsRow): void {
    this.#append({ event: "metrics", data: row });
  }

  /** Records an event for programs, with its description for users. If the disk fails, the event is lost. */
  record(event: RunEvent): void {
    // An event may repeat a warning or the output of a program.
    const shown = redactStrings(event);
    const line = describeEvent(shown);
    this.#write("coordinator", line, (time) => ({ time, source: "coordinator", line: clipped(line), run_event: shown }));
  }

  /** Writes a log line of a worker. If the disk fails, the line is lost. */
  log(source: string, text: string): void {
    const line = redactSecrets(text);
    this.#write(source, line, (time) => (this.#logEvents++ < maxLogEvents ? { time, source, line: clipped(line) } : undefined));
  }

  /** @param entry of the journal; undefined: the line is in the log file only */
  #write(source: string, line: string, entry: (time: number) => LogLine | undefined): void {
    const time = this.#clock.now();
    try {
      appendFileSync(
        join(this.directory, runFiles.logs, `${source.replaceAll(" ", "-")}.log`),
        `${new Date(time).toISOString()} ${line}\n`,
      );
      const data = entry(time);
      if (data !== undefined) this.#append({ event: "log", data });
    } catch (error) {
      if (!isSystemError(error) && !(error instanceof LapidaryError && error.code === "LAP_JOURNAL_WRITE")) throw error;
    }
  }

  /**
   * Ends the run: later records are ignored. Followers receive the end even if the disk fails.
   *
   * @returns the error of the disk: the next coordinator finds the run as it was, and resumes it
   */
  finish(state: "done" | "failed" | "cancelled", error?: ErrorJson): unknown {
    if (isFinal(this.state)) return undefined;
    const event = {
      event: "done",
      data: { time: this.#clock.now(), state, ...(error === undefined ? {} : { error: redactStrings(error) }) },
    } as const;
    let refused: unknown;
    try {
      this.#journal = this.#open();
      this.#fold(event);
      this.#journal.append(event);
      this.#journal.sync();
      this.#save();
    } catch (cause) {
      refused = cause;
      if (!isFinal(this.state)) this.#fold(event);
      this.#journal?.announce(event);
    }
    this.#journal?.close();
    this.#journal = undefined;
    this.#settle();
    return refused;
  }

  writeReport(report: Report): void {
    replaceFile(join(this.directory, runFiles.report), `${jsonText(report, 2)}\n`);
  }

  /** Calls `listener` with every event from now on, until the returned function is called. */
  listen(listener: (event: StreamEvent) => void): () => void {
    return isFinal(this.state) ? () => undefined : this.#open().listen(listener);
  }

  /**
   * Calls `listener` with every event after number `after`, the past ones first, and returns how to stop. The journal's files and the live
   * events overlap; their numbers show which were sent already.
   */
  async follow(after: number, listener: (event: StreamEvent) => void): Promise<() => void> {
    let last = after;
    let waiting: StreamEvent[] | undefined = [];
    const deliver = (event: StreamEvent): void => {
      if (event.id <= last) return;
      last = event.id;
      listener(event);
    };
    const stop = this.listen((event) => (waiting === undefined ? deliver(event) : waiting.push(event)));
    try {
      for (const event of await readJournal(this.directory, after)) {
        last = Math.max(last, event.id);
        listener(event);
      }
    } catch (error) {
      stop();
      throw error;
    }
    for (const event of waiting) deliver(event);
    waiting = undefined;
    return stop;
  }

  /** Closes the files when the process ends. */
  close(): void {
    this.#journal?.close();
    this.#journal = undefined;
  }

  #open(): Journal {
    assert(!isFinal(this.state), "a finished run is not written to", this.id);
    this.#journal ??= new Journal(this.directory);
    return this.#journal;
  }

  #append(event: Parameters<Journal["append"]>[0]): void {
    if (isFinal(this.state)) return;
    // Folded first, so that a listener of the event finds the summary up to date.
    this.#journal = this.#open();
    this.#fold(event);
    ensure(this.#journal, "journal").append(event);
  }

  #fold(event: Parameters<Journal["append"]>[0]): void {
    this.#summary = fold(this.#summary, event);
  }

  #save(): void {
    replaceFile(join(this.directory, runFiles.summary), jsonText(this.#summary, 2));
  }
}

/** Maximum length of a line in an event, so that every follower can receive it. The log file has the whole line. */
const maxLineLength = 1 << 16;

const clipped = (line: string): string =>
  line.length <= maxLineLength ? line : `${line.slice(0, maxLineLength)} … (${line.length} characters in all)`;

/** The summary after an event. */
function fold(before: JobSummary, event: Parameters<Journal["append"]>[0]): JobSummary {
  const { activity, waiting_for, ...rest } = before;
  switch (event.event) {
    case "log":
      return before;
    case "state": {
      const { state, time, slice, from_step, resumed } = event.data;
      const started = state !== "queued" && rest.started_at === undefined ? { started_at: time } : {};
      return {
        ...rest,
        ...(from_step === undefined ? {} : { step: from_step }),
        ...(resumed === undefined ? {} : { resumed }),
        ...started,
        state,
        ...(slice === undefined ? {} : { slice }),
        ...(event.data.activity === undefined ? {} : { activity: event.data.activity }),
        ...(event.data.waiting_for === undefined ? {} : { waiting_for: event.data.waiting_for }),
      };
    }
    case "metrics": {
      const row = event.data;
      if (row.kind === "eval")
        return { ...before, heldout_loss: row.heldout_loss, ...heldoutLossesOf(row.metrics), unigram_loss: row.unigram_loss };
      const { step, loss, tokens_per_s, eta_s, metrics } = row;
      return { ...before, step, loss, tokens_per_s, eta_s, ...(metrics === undefined ? {} : { metrics }) };
    }
    case "done": {
      const { eta_s: _, ...last } = rest;
      return {
        ...last,
        state: event.data.state,
        finished_at: event.data.time,
        ...(event.data.error === undefined ? {} : { error: event.data.error }),
      };
    }
  }
}
