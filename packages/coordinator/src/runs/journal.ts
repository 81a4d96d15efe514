import { closeSync, existsSync, fdatasyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { LapidaryError, must } from "@lapidary/std";
import { type MetricsRow, metricsRowSchema, type StreamEvent, streamEventSchema } from "../api.js";

/** An event before it has its number. */
export type NewEvent = StreamEvent extends infer E ? (E extends StreamEvent ? Omit<E, "id"> : never) : never;

/**
 * All that happened to a run, numbered in one sequence over two files, so that a reader can go on from any number:
 *
 *     events.jsonl     {"id":3,"event":"state","data":{…}}       state, log, done
 *     metrics.jsonl    {"id":4,"kind":"train","step":1,…}        one flat row a line, for other tools to read as a table
 *
 * Lines are appended whole, in the order of their numbers. A line that a crash left torn is cut off when the journal is next written.
 */
export class Journal {
  readonly #events: AppendFile;
  readonly #metrics: AppendFile;
  readonly #listeners = new Set<(event: StreamEvent) => void>();
  #next: number;

  constructor(readonly directory: string) {
    mkdirSync(directory, { recursive: true });
    this.#events = new AppendFile(journalFiles.events(directory));
    this.#metrics = new AppendFile(journalFiles.metrics(directory));
    this.#next = 1 + Math.max(lastId(this.#events.lastLine), lastId(this.#metrics.lastLine));
  }

  /** Numbers the event, writes it, tells it to who listens. */
  append(event: NewEvent): StreamEvent {
    const numbered = { id: this.#next++, ...event } as StreamEvent;
    if (numbered.event === "metrics") this.#metrics.append(JSON.stringify({ id: numbered.id, ...numbered.data }));
    else this.#events.append(JSON.stringify(numbered));
    for (const listener of this.#listeners) listener(numbered);
    return numbered;
  }

  /** Calls `listener` with every event from now on, until the returned function is called. */
  listen(listener: (event: StreamEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What was appended so far survives a power cut. */
  sync(): void {
    this.#events.sync();
    this.#metrics.sync();
  }

  close(): void {
    this.#events.close();
    this.#metrics.close();
    this.#listeners.clear();
  }
}

export const journalFiles = {
  events: (directory: string): string => join(directory, "events.jsonl"),
  metrics: (directory: string): string => join(directory, "metrics.jsonl"),
};

/** All events with a number above `after`, in order. A `done` that was followed by more, because the run was resumed, is none. */
export async function readJournal(directory: string, after = 0): Promise<StreamEvent[]> {
  const [events, metrics] = await Promise.all([readLines(journalFiles.events(directory)), readLines(journalFiles.metrics(directory))]);
  const all = [
    ...events.map((line): unknown => JSON.parse(line)),
    ...metrics.map((line): unknown => {
      const { id, ...data } = JSON.parse(line) as { id: number };
      return { id, event: "metrics", data };
    }),
  ];
  const numbered = all.map((event) => streamEventSchema.parse(event)).sort((a, b) => a.id - b.id);
  const last = numbered.at(-1)?.id;
  return numbered.filter(({ id, event }) => id > after && (event !== "done" || id === last));
}

export async function readMetrics(directory: string, from: number, limit: number): Promise<{ rows: MetricsRow[]; more: boolean }> {
  const lines = await readLines(journalFiles.metrics(directory));
  const rows = lines.slice(from, from + limit).map((line) => metricsRowSchema.parse(JSON.parse(line)));
  return { rows, more: lines.length > from + limit };
}

/** Whole lines; what follows the last line feed is still being written, or torn. */
async function readLines(path: string): Promise<string[]> {
  if (!existsSync(path)) return [];
  return (await readFile(path, "utf8")).split("\n").slice(0, -1);
}

const lastId = (line: string | undefined): number => (line === undefined ? 0 : (JSON.parse(line) as { id: number }).id);

/** A file of lines, opened to append. */
class AppendFile {
  readonly lastLine: string | undefined;
  readonly #path: string;
  #file: number | undefined;

  constructor(path: string) {
    this.#path = path;
    const text = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    const whole = text.lastIndexOf("\n") + 1;
    this.#file = openSync(path, "a", 0o600);
    if (whole < text.length) ftruncateSync(this.#file, whole);
    this.lastLine =
      whole === 0
        ? undefined
        : text
            .subarray(0, whole - 1)
            .toString("utf8")
            .split("\n")
            .at(-1);
  }

  append(line: string): void {
    const bytes = Buffer.from(`${line}\n`, "utf8");
    const file = must(this.#file, "open journal");
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
  }

  /** @throws LAP_JOURNAL_WRITE */
  sync(): void {
    const file = must(this.#file, "open journal");
    try {
      fdatasyncSync(file);
    } catch (cause) {
      throw journalRefused(this.#path, cause);
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

/** What is told of a run is not on the disk: the job ends, and is resumed, rather than say that steps are done whose metrics may be lost. */
function journalRefused(path: string, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOURNAL_WRITE",
    message: `the journal cannot be written: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`,
    place: path,
    remedy: "free disk space, or check the disk; then `lapidary jobs resume`",
    exit: 100,
    cause,
  });
}
