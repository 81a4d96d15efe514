import type { EvalRow, JobDetail, LogLine, StateEvent, StreamEvent, TrainRow } from "@lapidary/coordinator/api";
import type { RunEventType } from "@lapidary/coordinator/run-events";
import type { Snapshot } from "@lapidary/coordinator/view-api";
import { Series, type SeriesJson } from "@lapidary/coordinator/views/downsample";

/** In the order of the coordinator's columns. */
export const columnNames = ["loss", "grad_norm", "learning_rate", "tokens_per_s", "step_ms"] as const;
export type ColumnName = (typeof columnNames)[number];

type Numbered<T> = T & { readonly id: number };

/** More than a screen can show or a person can read: what is older is asked of the coordinator again. */
const limits = { buckets: 2048, evals: 2000, states: 500, logs: 1000, runEvents: 1000 } as const;

/**
 * A run as the page knows it: the snapshot, and each event after it once. Bounded, however long the run is and however long the page is open.
 *
 * Invariant: events with a number that is not above `lastId` change nothing, so that a stream which begins too early does no harm.
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

  constructor(snapshot: Snapshot) {
    this.job = snapshot.job;
    this.yaml = snapshot.yaml;
    this.lastId = snapshot.last_id;
    this.series = Series.from(snapshot.series as SeriesJson, columnNames, limits.buckets);
    this.evals = [...snapshot.evals];
    this.states = [...snapshot.states];
    this.logs = [...snapshot.logs];
    this.runEvents = [...(snapshot.run_events ?? [])];
    this.logCount = snapshot.log_count;
    this.hasProgram = snapshot.has_program;
    this.report = snapshot.report;
  }

  /** Whether any of them was new. */
  apply(events: readonly StreamEvent[]): boolean {
    let news = false;
    for (const event of events) {
      if (event.id <= this.lastId) continue;
      this.lastId = event.id;
      this.#fold(event);
      news = true;
    }
    return news;
  }

  /** Attempts that failed and were followed by another. */
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
          this.series.add(
            row.step,
            columnNames.map((name) => row[name]),
          );
          this.lastRow = row;
          this.job = { ...this.job, step: row.step, loss: row.loss, tokens_per_s: row.tokens_per_s, eta_s: row.eta_s };
        } else {
          while ((this.evals.at(-1)?.step ?? -1) >= row.step) this.evals.pop();
          keep(this.evals, row, limits.evals);
          this.job = { ...this.job, heldout_loss: row.heldout_loss, unigram_loss: row.unigram_loss };
        }
        return;
      }
      case "state": {
        const { id, data } = { id: event.id, data: event.data };
        const last = this.states.at(-1);
        if (last !== undefined && last.state === data.state && last.activity?.what === data.activity?.what && data.slice === undefined)
          this.states.pop();
        keep(this.states, { ...data, id }, limits.states);
        const { activity: _, ...rest } = this.job;
        const started = data.state !== "queued" && rest.started_at === undefined ? { started_at: data.time } : {};
        this.job = {
          ...rest,
          ...started,
          state: data.state,
          ...(data.activity === undefined ? {} : { activity: data.activity }),
          ...(data.slice === undefined ? {} : { slice: data.slice }),
          ...(data.workers === undefined ? {} : { workers: data.workers }),
        };
        return;
      }
      case "log":
        this.logCount++;
        if (event.data.run_event !== undefined) keep(this.runEvents, { ...event.data, id: event.id }, limits.runEvents);
        return keep(this.logs, { ...event.data, id: event.id }, limits.logs);
      case "done": {
        const { eta_s: _, activity: __, ...rest } = this.job;
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

function keep<T>(list: T[], item: T, most: number): void {
  list.push(item);
  if (list.length > most) list.splice(0, list.length - most);
}
