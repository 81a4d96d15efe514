import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";
import { StringDecoder } from "node:string_decoder";
import type { EvalRow, LogLine, StateEvent, StreamEvent } from "@lapidary/api";
import { journalFiles } from "../runs/journal.js";
import { joinJournal, type JournalLines } from "../runs/journal-rows.js";
import { clippedSamples, SampleHistory } from "@lapidary/api/completion-samples";
import type { RunEventOf } from "@lapidary/api/run-events";
import { addTrainRow, newTrainSeries } from "@lapidary/api/train-series";

/** Limits of the history of a run in memory, for runs of any length. */
export const historyLimits = {
  buckets: 2048,
  evals: 2000,
  states: 500,
  logs: 300,
  runEvents: 500,
  recent: 1500,
  lineLength: 4096,
} as const;

export type Numbered<T> = T & { readonly id: number };

/**
 * The journal of a run, folded into the data of a page. It reads only the growth of the files, and its size is bounded for runs of any length.
 *
 * Both files are read synchronously, so that the numbers are in order.
 */
export class RunHistory {
  readonly #tails: readonly LineTail[];
  readonly series = newTrainSeries(historyLimits.buckets);
  readonly evals: EvalRow[] = [];
  readonly states: Numbered<StateEvent>[] = [];
  readonly logs: Numbered<LogLine>[] = [];
  /** The lines that describe run events. Workers may write so many lines that `logs` contains none of them. */
  readonly runEvents: Numbered<LogLine>[] = [];
  readonly samples = new SampleHistory();
  readonly #recent: StreamEvent[] = [];
  /** Events up to this number are no longer in `recent`. */
  #forgotten = 0;
  lastId = 0;
  logCount = 0;

  constructor(directory: string) {
    this.#tails = [new LineTail("events", journalFiles.events(directory)), new LineTail("metrics", journalFiles.metrics(directory))];
  }

  /** The events since the last call, in order; only the newest ones if there are too many. */
  refresh(): readonly StreamEvent[] {
    const files = this.#tails.map((tail) => tail.read());
    if (files.every(({ lines }) => lines.length === 0)) return [];
    const newEvents = joinJournal(files, this.lastId)
      .filter(({ id }) => id > this.lastId)
      .map(clipped);
    for (const event of newEvents) this.#fold(event);
    this.#recent.push(...newEvents.slice(-historyLimits.recent));
    const excess = this.#recent.length - historyLimits.recent;
    if (excess > 0) this.#recent.splice(0, excess);
    this.#forgotten = (this.#recent[0]?.id ?? 1) - 1;
    return newEvents.slice(-historyLimits.recent);
  }

  /** Events after number `after`, or undefined if too many came since. */
  since(after: number): readonly StreamEvent[] | undefined {
    if (after < this.#forgotten) return undefined;
    return this.#recent.filter(({ id }) => id > after);
  }

  #fold(event: StreamEvent): void {
    this.lastId = event.id;
    switch (event.event) {
      case "metrics": {
        const row = event.data;
        if (row.kind === "train") addTrainRow(this.series, row);
        else {
          while ((this.evals.at(-1)?.step ?? -1) >= row.step) this.evals.pop();
          keep(this.evals, row, historyLimits.evals);
        }
        return;
      }
      case "state": {
        const last = this.states.at(-1);
        // Progress within one activity is a single event, which is replaced.
        if (
          last !== undefined &&
          last.state === event.data.state &&
          last.activity?.what === event.data.activity?.what &&
          event.data.slice === undefined
        )
          this.states.pop();
        return keep(this.states, { ...event.data, id: event.id }, historyLimits.states);
      }
      case "log": {
        this.logCount++;
        const sampled = sampledIn(event);
        if (sampled !== undefined) this.samples.add(sampled);
        // `samples` has the completions, and the line describes them.
        const line = { ...event.data, id: event.id, ...(sampled === undefined ? {} : { run_event: { ...sampled, completions: [] } }) };
        if (line.run_event !== undefined) keep(this.runEvents, line, historyLimits.runEvents);
        return keep(this.logs, line, historyLimits.logs);
      }
      case "done":
        return;
    }
  }
}

function keep<T>(list: T[], item: T, most: number): void {
  list.push(item);
  if (list.length > most) list.shift();
}

/** Longer lines and completions are in the files only. */
function clipped(event: StreamEvent): StreamEvent {
  if (event.event !== "log") return event;
  const { line } = event.data;
  const sampled = sampledIn(event);
  const short = line.length <= historyLimits.lineLength;
  if (short && sampled === undefined) return event;
  return {
    ...event,
    data: {
      ...event.data,
      line: short ? line : `${line.slice(0, historyLimits.lineLength)} … (${line.length} characters in all)`,
      ...(sampled === undefined ? {} : { run_event: clippedSamples(sampled) }),
    },
  };
}

const sampledIn = ({ data }: Extract<StreamEvent, { event: "log" }>): RunEventOf<"completions_sampled"> | undefined =>
  data.run_event?.type === "completions_sampled" ? (data.run_event as RunEventOf<"completions_sampled">) : undefined;

/** Reads complete lines as they are appended to a file. */
class LineTail {
  readonly #kind: JournalLines["kind"];
  readonly #path: string;
  #at = 0;
  /** Lines that were read so far. */
  #count = 0;
  #decoder = new StringDecoder("utf8");
  #rest = "";

  constructor(kind: JournalLines["kind"], path: string) {
    this.#kind = kind;
    this.#path = path;
  }

  /** The lines since the last call. */
  read(): JournalLines {
    const before = this.#count;
    const lines = existsSync(this.#path) ? this.#readLines() : [];
    this.#count += lines.length;
    return { file: basename(this.#path), kind: this.#kind, lines, before };
  }

  #readLines(): string[] {
    const file = openSync(this.#path, "r");
    try {
      const { size } = fstatSync(file);
      // The writer truncates an incomplete end when it begins again.
      if (size < this.#at) this.#restart(size);
      const lines: string[] = [];
      while (this.#at < size) {
        const piece = Buffer.alloc(Math.min(1 << 20, size - this.#at));
        const got = readSync(file, piece, 0, piece.length, this.#at);
        if (got === 0) break;
        this.#at += got;
        const parts = (this.#rest + this.#decoder.write(piece.subarray(0, got))).split("\n");
        this.#rest = parts.pop() ?? "";
        for (const part of parts) if (part !== "") lines.push(part);
      }
      return lines;
    } finally {
      closeSync(file);
    }
  }

  #restart(size: number): void {
    this.#at = size;
    this.#decoder = new StringDecoder("utf8");
    this.#rest = "";
  }
}
