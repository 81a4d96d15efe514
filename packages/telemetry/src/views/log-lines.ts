import { createReadStream, existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { journalFiles } from "../runs/journal.js";
import { readEventLine } from "../runs/journal-rows.js";
import type { LogPage } from "@lapidary/api/view-api";
import { historyLimits } from "./run-history.js";

export interface LogQuery {
  readonly text: string;
  readonly source: string;
  readonly before: number;
  readonly limit: number;
}

/** The newest lines below a number that match the query, newest first. Reads the journal from its start, and keeps at most a page in memory. */
export async function findLogLines(directory: string, { text, source, before, limit }: LogQuery): Promise<LogPage> {
  const path = journalFiles.events(directory);
  if (!existsSync(path)) return { lines: [], more: false };
  const wanted = text.toLowerCase();
  const found: LogPage["lines"] = [];
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    const event = line.includes('"event":"log"') ? readEventLine(line) : undefined;
    if (event?.event !== "log" || event.id >= before) continue;
    if (source !== "" && event.data.source !== source) continue;
    if (wanted !== "" && !event.data.line.toLowerCase().includes(wanted)) continue;
    found.push({ ...event.data, line: event.data.line.slice(0, historyLimits.lineLength), id: event.id });
    if (found.length > limit) found.shift();
  }
  return { lines: found.reverse(), more: found.length === limit };
}
