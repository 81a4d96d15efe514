import { closeSync, existsSync, fdatasyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { jsonText, LapidaryError, ensure, syncDirectory } from "@lapidary/std";
import type { MetricsRow, StreamEvent } from "@lapidary/api";
import { idOf, joinJournal, readMetricsLine } from "./journal-rows.js";

/** An event before it has its number. */
export type NewEvent = StreamEvent extends infer E ? (E extends StreamEvent ? Omit<E, "id"> : never) : never;

/**
 * All events of a run, numbered in one sequence over two files, so that a reader can continue from any number:
 *
 *     events.jsonl     {"id":3,"event":"state","data":{…}}       state, log, done
 *     metrics.jsonl    {"id":4,"kind":"train","step":1,…}        one flat row a line, for other tools to read as a table
 *
 * Lines are appended whole, in the order of their numbers. A line that a crash left incomplete is truncated at the next write. A number that is
 * infinite or NaN is written by its name (`"Infinity"`), so that it can be read. A line that cannot be read is skipped and reported.
 */
export class Journal {
  readonly #events: AppendFile;
  readonly #metrics: AppendFile;
  readonly #listeners = new Set<(event: StreamEvent) => void>();
  #next: number;
  /** Whether the names of the files survive a power cut too. */
  #hasDurableNames = false;

  constructor(readonly directory: string) {
    mkdirSync(directory, { recursive: true });
    this.#events = new AppendFile(journalFiles.events(directory));
    this.#metrics = new AppendFile(journalFiles.metrics(directory));
    const files = [this.#events, this.#metrics];
    // A line that cannot be read had a number too.
    this.#next = 1 + Math.max(...files.map(({ highestId }) => highestId), this.#events.lines + this.#metrics.lines);
  }

  /**
   * Numbers the event, writes it, and passes it to the listeners.
   *
   * @throws LAP_JOURNAL_WRITE; then nothing of the event is in the file, and no listener has received it
   */
  append(event: NewEvent): StreamEvent {
    const numbered = { id: this.#next, ...event } as StreamEvent;
    if (numbered.event === "metrics") this.#metrics.append(jsonText({ id: numbered.id, ...numbered.data }));
    else this.#events.append(jsonText(numbered));
    this.#next++;
    this.#publish(numbered);
    return numbered;
  }

  /** Numbers the event and passes it to the listeners even if the disk fails, so that no listener waits for it. */
  announce(event: NewEvent): void {
    this.#publish({ id: this.#next++, ...event } as StreamEvent);
  }

  #publish(event: StreamEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Calls `listener` with every event from now on, until the returned function is called. */
  listen(listener: (event: StreamEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Makes all events so far survive a power cut. */
  sync(): void {
    this.#events.sync();
    this.#metrics.sync();
    if (!this.#hasDurableNames) syncDirectory(this.directory);
    this.#hasDurableNames = true;
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

/**
 * All events with a number above `after`, in order. A `done` before a resume of the run is skipped. Lines that cannot be read are replaced by a log
 * event that reports them.
 */
export async function readJournal(directory: string, after = 0): Promise<StreamEvent[]> {
  const [events, metrics] = [journalFiles.events(directory), journalFiles.metrics(directory)];
  const numbered = joinJournal([
    { file: basename(events), kind: "events", lines: await readLines(events) },
    { file: basename(metrics), kind: "metrics", lines: await readLines(metrics) },
  ]);
  const last = numbered.at(-1)?.id;
  return numbered.filter(({ id, event }) => id > after && (event !== "done" || id === last));
}

/** Lines `from` to `from + limit` of the metrics. */
export async function readMetrics(
  directory: string,
  from: number,
  limit: number,
): Promise<{ rows: MetricsRow[]; more: boolean; unreadable: number }> {
  const lines = await readLines(journalFiles.metrics(directory));
  const wanted = lines.slice(from, from + limit);
  const rows = wanted.flatMap((line) => readMetricsLine(line)?.row ?? []);
  return { rows, more: lines.length > from + limit, unreadable: wanted.length - rows.length };
}

/** Complete lines. The text after the last line feed is still being written, or incomplete. */
async function readLines(path: string): Promise<string[]> {
  if (!existsSync(path)) return [];
  return (await readFile(path, "utf8")).split("\n").slice(0, -1);
}

/** A file of lines, opened to append. */
class AppendFile {
  /** The number of complete lines when the file was opened, and the highest number in them, or 0. */
  readonly lines: number;
  readonly highestId: number;
  readonly #path: string;
  #file: number | undefined;
  #size: number;

  constructor(path: string) {
    this.#path = path;
    const text = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    this.#size = text.lastIndexOf("\n") + 1;
    this.#file = openSync(path, "a", 0o600);
    if (this.#size < text.length) ftruncateSync(this.#file, this.#size);
    const lines = text.subarray(0, this.#size).toString("utf8").split("\n").slice(0, -1);
    this.lines = lines.length;
    const numbered = lines.findLast((line) => idOf(line) !== undefined);
    this.highestId = numbered === undefined ? 0 : (idOf(numbered) ?? 0);
  }

  /** @throws LAP_JOURNAL_WRITE if the line cannot be written completely; then nothing of it stays in the file */
  append(line: string): void {
    const bytes = Buffer.from(`${line}\n`, "utf8");
    const file = ensure(this.#file, "open journal");
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      this.#size += bytes.length;
    } catch (cause) {
      ftruncateSync(file, this.#size);
      throw journalRefused(this.#path, cause);
    }
  }

  /** @throws LAP_JOURNAL_WRITE */
  sync(): void {
    const file = ensure(this.#file, "open journal");
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

/** Without a journal, metrics of committed steps could be lost. So the job ends, and can be resumed. */
function journalRefused(path: string, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOURNAL_WRITE",
    message: `the journal cannot be written: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`,
    location: path,
    remedy: `free disk space, or check the disk; then \`lapidary jobs resume ${basename(dirname(path))}\``,
    cause,
  });
}
