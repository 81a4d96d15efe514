import { createReadStream, existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { journalFiles } from "../runs/journal.js";
import { readMetricsLine } from "../runs/journal-rows.js";
import type { Series } from "@lapidary/api/downsample";
import { addTrainRow } from "@lapidary/api/train-series";

/** Adds the train rows of steps `from` to `to`. Reads the file in pieces. */
export async function readSeries(directory: string, from: number, to: number, into: Series): Promise<void> {
  const path = journalFiles.metrics(directory);
  if (!existsSync(path)) return;
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    // A line that cannot be read is reported among the events of the run.
    const row = line.includes('"kind":"train"') ? readMetricsLine(line)?.row : undefined;
    if (row?.kind !== "train") continue;
    if (row.step >= from && row.step <= to) addTrainRow(into, row);
  }
}
