import { type MetricsRow, metricsRowSchema, type StreamEvent, streamEventNames, streamEventSchema } from "@lapidary/api";
import { describeEvent } from "@lapidary/api/describe-event";
import type { RunEventOf } from "@lapidary/api/run-events";

/** Lines of one file of the journal. */
export interface JournalLines {
  /** The name of the file, for reports about a line. */
  readonly file: string;
  readonly kind: "events" | "metrics";
  readonly lines: readonly string[];
  /** Lines of the file before these. Default 0. */
  readonly before?: number;
}

/** The event of a line of `events.jsonl`; undefined for a line that is damaged or of a later version. */
export const readEventLine = (line: string): StreamEvent | undefined => streamEventSchema.safeParse(parsed(line)).data;

/** Whether a line of `events.jsonl` is complete and has a kind of a later version. */
function isOfLaterVersion(line: string): boolean {
  const event = (parsed(line) as { event?: unknown } | null | undefined)?.event;
  return typeof event === "string" && !streamEventNames.includes(event) && idOf(line) !== undefined;
}

/** The row of a line of `metrics.jsonl`, and its number. */
export function readMetricsLine(line: string): { readonly id: number; readonly row: MetricsRow } | undefined {
  const value = parsed(line);
  const row = metricsRowSchema.safeParse(value).data;
  const id = (value as { id?: unknown } | undefined)?.id;
  return row !== undefined && typeof id === "number" && Number.isInteger(id) && id >= 0 ? { id, row } : undefined;
}

/**
 * The events of both files in the order of their numbers. A line that cannot be read is replaced by a `journal_lines_skipped` event.
 *
 * @param last number of the last event that was read before these lines
 */
export function joinJournal(files: readonly JournalLines[], last = 0): StreamEvent[] {
  const events: StreamEvent[] = [];
  const lost: LostLines[] = [];
  for (const { file, kind, lines, before = 0 } of files) {
    let [id, time] = [last, 0];
    lines.forEach((line, i) => {
      const event = kind === "events" ? readEventLine(line) : metricsEvent(line);
      if (event !== undefined) {
        events.push(event);
        [id, time] = [event.id, event.data.time];
        return;
      }
      const number = before + i + 1;
      const cause = kind === "events" && isOfLaterVersion(line) ? "newer_version" : "damaged";
      const open = lost.at(-1);
      if (open?.file === file && open.to === number - 1 && open.cause === cause) open.to = number;
      else lost.push({ file, cause, from: number, to: number, after: id, id: idOf(line), time });
    });
  }
  const taken = new Set(events.map(({ id }) => id));
  const newest = events.reduce<StreamEvent | undefined>((max, event) => (max === undefined || event.id > max.id ? event : max), undefined);
  // `done` stays the last event, because the next number is that of a later event.
  const limit = newest?.event === "done" ? newest.id - 1 : (newest?.id ?? last);
  for (const lines of lost) events.push(lostEvent(lines, freeId(lines, taken, limit)));
  return events.sort((a, b) => a.id - b.id);
}

/** Adjacent lines that cannot be read. */
interface LostLines {
  readonly file: string;
  readonly cause: RunEventOf<"journal_lines_skipped">["cause"];
  readonly from: number;
  to: number;
  /** Number of the event before them in their file. */
  readonly after: number;
  /** The number at the start of the first of them, if there is one. */
  readonly id: number | undefined;
  /** Number of the event before them. */
  readonly time: number;
}

/**
 * The numbers of both files together have no gaps, so a lost line has a number that no other event has. If there is no such number, the lines were
 * inserted: their report has the number of the event before it, so that no later event counts as seen.
 */
function freeId({ after, id }: LostLines, taken: Set<number>, limit: number): number {
  let free = id ?? after + 1;
  while (free < limit && taken.has(free)) free++;
  if (taken.has(free) || free > limit || free <= after) return Math.max(1, Math.min(after, limit));
  taken.add(free);
  return free;
}

function lostEvent({ file, cause, from, to, time }: LostLines, id: number): StreamEvent {
  const event = { type: "journal_lines_skipped", file, from_line: from, to_line: to, cause } as const;
  return { id, event: "log", data: { time, source: "coordinator", line: describeEvent(event), run_event: event } };
}

function metricsEvent(line: string): StreamEvent | undefined {
  const read = readMetricsLine(line);
  return read === undefined ? undefined : { id: read.id, event: "metrics", data: read.row };
}

/** The number at the beginning of a line, even if the rest is damaged. */
export function idOf(line: string): number | undefined {
  const [, id] = /^\{"id":(\d{1,15})[,}]/.exec(line) ?? [];
  return id === undefined ? undefined : Number(id);
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // Damaged, or incomplete after a crash: the caller skips and reports the line.
    return undefined;
  }
}
