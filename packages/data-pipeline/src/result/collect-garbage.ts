import { openStore, type S3Access } from "@lapidary/data-store";
import { isPublished, readPublished } from "@lapidary/mixture";
import { lockRun } from "../run/run-lock.js";
import { openResult, scratchOf } from "./open-result.js";

/** Objects that no current result needs. */
export interface Garbage {
  readonly objects: readonly string[];
  readonly bytes: number;
  readonly kept: number;
}

/**
 * Removes the objects that neither the plan of the last run nor the published dataset has, from the store and from the output directory.
 *
 * @param isDry counts only
 * @throws LapidaryError LAP_DATA_NO_RESULT, LAP_DATA_BUSY, LAP_DATA_CREDENTIALS
 */
export async function collectGarbage(out: string, isDry: boolean, s3?: S3Access): Promise<Garbage> {
  const { plan } = openResult(out, s3);
  const release = lockRun(out);
  try {
    const published = publishedKeys(out);
    const needed = new Set([...plan.keys, ...plan.files, ...published]);
    const parts = [await collectIn(plan.store ?? out, needed, out, isDry, s3)];
    // Another store than the output directory: this has the tokens of the published dataset.
    if (plan.store !== undefined) parts.push(await collectIn(out, new Set(published), out, isDry, s3));
    return {
      objects: parts.flatMap(({ objects }) => objects),
      bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
      kept: parts.reduce((sum, { kept }) => sum + kept, 0),
    };
  } finally {
    release();
  }
}

async function collectIn(
  location: string,
  needed: ReadonlySet<string>,
  out: string,
  isDry: boolean,
  s3: S3Access | undefined,
): Promise<Garbage> {
  const store = openStore(location, { s3, scratch: scratchOf(out) });
  const all = await store.list();
  const unneeded = all.filter(({ key }) => !needed.has(key));
  if (!isDry) {
    for (const { key } of unneeded) await store.remove(key);
    await store.removeUnfinished();
  }
  return {
    objects: unneeded.map(({ key }) => key),
    bytes: unneeded.reduce((sum, { bytes }) => sum + bytes, 0),
    kept: all.length - unneeded.length,
  };
}

function publishedKeys(out: string): readonly string[] {
  if (!isPublished(out)) return [];
  return Object.values(readPublished(out).sources).flatMap(({ shards }) => shards.map(({ tokens }) => tokens.split("/")[1] ?? ""));
}
