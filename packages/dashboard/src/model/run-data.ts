import type { EvalRow, JobDetail, LogLine, StateEvent, StreamEvent, TrainRow } from "@lapidary/api";
import { heldoutLossesOf } from "@lapidary/api/heldout-losses";
import type { Snapshot } from "@lapidary/api/view-api";
import type { Comparison } from "@lapidary/api/comparison";
import { SampleHistory } from "@lapidary/api/completion-samples";
import type { Series, SeriesJson } from "@lapidary/api/downsample";
import type { RunEventOf, RunEventType } from "@lapidary/api/run-events";
import { addTrainRow, trainSeriesFrom } from "@lapidary/api/train-series";

type Numbered<T> = T & { readonly id: number };

/** Limits of the data in memory, more than a screen can show. Older data is requested from the coordinator. */
const limits = { buckets: 2048, evals: 2000, states: 500, logs: 1000, runEvents: 1000 } as const;

/**
 * The data of a run: the snapshot, and each later event once. Its size is bounded for any length of the run.
 *
 * Invariant: an event with a number up to `lastId` changes nothing, so that a stream may start too early.
 */
export class RunData {
  job: JobDetail;
  readonly yaml: string;
  lastId: number;
  readonly series: Series;
  readonly evals: EvalRow[];
  readonly states: Numbered<StateEvent>[];
  readonly logs: Numbered<LogLine>[];
  /** Lines that describe run events. */
  readonly runEvents: Numbered<LogLine>[];
  logCount: number;
  lastRow: TrainRow | undefined;
  hasProgram: boolean;
  report: unknown;
  readonly samples: SampleHistory;
  readonly comparison: Comparison | undefined;

  constructor(snapshot: Snapshot) {
    this.job = snapshot.job;
    this.yaml = snapshot.yaml;
    this.lastId = snapshot.last_id;
    this.series = trainSeriesFrom(snapshot.series as SeriesJson, limits.buckets);
    this.evals = [...snapshot.evals];
    this.states = [...snapshot.states];
    this.logs = [...snapshot.logs];
    this.runEvents = [...(snapshot.run_events ?? [])];
    this.logCount = snapshot.log_count;
    this.hasProgram = snapshot.has_program;
    this.report = snapshot.report;
    this.samples = new SampleHistory(snapshot.samples);
    this.comparison = snapshot.comparison;
  }

  /** Returns whether any of the events was new. */
  apply(events: readonly StreamEvent[]): boolean {
    let changed = false;
    for (const event of events) {
      if (event.id <= this.lastId) continue;
      this.lastId = event.id;
      this.#fold(event);
      changed = true;
    }
    return changed;
  }

  /** Failed attempts after which another attempt started. */
  get restarts(): number {
    const failed: RunEventType = "attempt_failed";
    return this.runEvents.filter(
      ({ run_event }) => run_event?.type === failed && "recoverable" in run_event && run_event.recoverable === true,
    ).length;
  }

  #fold(event: StreamEvent): void {
    switch (event.event) {
      case "metrics": {
        const row = event.data;
        if (row.kind === "train") {
          addTrainRow(this.series, row);
          this.lastRow = row;
          const { step, loss, tokens_per_s, eta_s, metrics } = row;
          this.job = { ...this.job, step, loss, tokens_per_s, eta_s, ...(metrics === undefined ? {} : { metrics }) };
        } else {
          while ((this.evals.at(-1)?.step ?? -1) >= row.step) this.evals.pop();
          append(this.evals, row, limits.evals);
          this.job = { ...this.job, heldout_loss: row.heldout_loss, ...heldoutLossesOf(row.metrics), unigram_loss: row.unigram_loss };
        }
        return;
      }
      case "state": {
        const { id, data } = { id: event.id, data: event.data };
        const last = this.states.at(-1);
        if (last !== undefined && last.state === data.state && last.activity?.what === data.activity?.what && data.slice === undefined)
          this.states.pop();
        append(this.states, { ...data, id }, limits.states);
        const { activity: _, waiting_for: __, ...rest } = this.job;
        const started = data.state !== "queued" && rest.started_at === undefined ? { started_at: data.time } : {};
        this.job = {
          ...rest,
          ...started,
          state: data.state,
          ...(data.activity === undefined ? {} : { activity: data.activity }),
          ...(data.waiting_for === undefined ? {} : { waiting_for: data.waiting_for }),
          ...(data.slice === undefined ? {} : { slice: data.slice }),
          ...(data.workers === undefined ? {} : { workers: data.workers }),
        };
        return;
      }
      case "log":
        this.logCount++;
        if (event.data.run_event?.type === "completions_sampled")
          this.samples.add(event.data.run_event as RunEventOf<"completions_sampled">);
        if (event.data.run_event !== undefined) append(this.runEvents, { ...event.data, id: event.id }, limits.runEvents);
        return append(this.logs, { ...event.data, id: event.id }, limits.logs);
      case "done": {
        const { eta_s: _, activity: __, waiting_for: ___, ...rest } = this.job;
        this.job = {
          ...rest,
          state: event.data.state,
          finished_at: event.data.time,
          ...(event.data.error === undefined ? {} : { error: event.data.error }),
        };
        return;
      }
    }
  }
}

function append<T>(list: T[], item: T, limit: number): void {
  list.push(item);
  if (list.length > limit) list.splice(0, list.length - limit);
}
