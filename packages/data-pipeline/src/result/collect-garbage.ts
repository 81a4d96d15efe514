import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ObjectStore } from "@lapidary/data-store";
import { isPublished, readPublished } from "@lapidary/mixture";
import { lockRun } from "../run/run-lock.js";
import { readPlanFile } from "./plan-file.js";

/** Objects that no current result needs. */
export interface Garbage {
  readonly objects: readonly string[];
  readonly bytes: number;
  readonly kept: number;
}

/**
 * Removes the objects that neither the plan of the last run nor the published dataset has.
 *
 * @param isDry counts only
 * @throws LapidaryError LAP_DATA_NO_RESULT, LAP_DATA_BUSY
 */
export function collectGarbage(out: string, isDry: boolean): Garbage {
  const plan = readPlanFile(out);
  const release = lockRun(out);
  try {
    const needed = new Set([...plan.keys, ...publishedKeys(out)]);
    const store = new ObjectStore(out);
    const directory = join(out, "objects");
    const all = existsSync(directory) ? readdirSync(directory).sort() : [];
    const objects = all.filter((key) => !needed.has(key));
    const bytes = objects.reduce((sum, key) => sum + sizeOf(join(directory, key)), 0);
    if (!isDry) {
      for (const key of objects) store.remove(key);
      store.removeUnfinished();
    }
    return { objects, bytes, kept: all.length - objects.length };
  } finally {
    release();
  }
}

function publishedKeys(out: string): readonly string[] {
  if (!isPublished(out)) return [];
  return Object.values(readPublished(out).sources).flatMap(({ shards }) => shards.map(({ tokens }) => tokens.split("/")[1] ?? ""));
}

const sizeOf = (directory: string): number => readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
