import { type OutputStore, openStore, type Registration, type S3Access } from "@lapidary/data-store";
import { LapidaryError } from "@lapidary/std";
import { lockRun } from "../run/run-lock.js";
import { keysOf, publishedKeys, registrationOf } from "./needed-objects.js";
import { openResult, scratchOf } from "./open-result.js";

/** Objects that no pipeline of the store needs. */
export interface Garbage {
  readonly objects: readonly string[];
  readonly bytes: number;
  readonly kept: number;
  /** Other pipelines that ran with the store. What they need is kept. */
  readonly others: readonly { readonly id: string; readonly file: string }[];
}

export interface GarbageOptions {
  /** Only counts. */
  readonly isDry?: boolean;
  readonly s3?: S3Access | undefined;
  /** The id of another pipeline that exists no more. What it alone needed is removed too. */
  readonly forget?: string | undefined;
}

/**
 * Removes the objects that no pipeline needs, from the store and from the output directory. A pipeline needs the objects of the plan of its last run and
 * those of its published dataset.
 *
 * @throws LapidaryError LAP_DATA_NO_RESULT, LAP_DATA_BUSY, LAP_DATA_CREDENTIALS, LAP_DATA_STORE, LAP_DATA_SETTING for an unknown id
 */
export async function collectGarbage(out: string, { isDry = false, s3, forget }: GarbageOptions = {}): Promise<Garbage> {
  const { plan, store } = openResult(out, s3);
  const release = lockRun(out);
  try {
    const own = registrationOf(out, plan);
    const all = (await store.registrations()).filter(({ id }) => id !== own.id);
    const others = forget === undefined ? all : withoutForgotten(all, forget);
    if (!isDry) {
      await store.register(own);
      if (forget !== undefined) await store.unregister(forget);
    }
    const parts = [await collectIn(store, [own, ...others], others, isDry)];
    // Another store than the output directory: this has the tokens of the published dataset.
    if (plan.store !== undefined) {
      const here = openStore(out, { s3, scratch: scratchOf(out) });
      const users = await here.registrations();
      parts.push(await collectIn(here, [{ ...own, keys: publishedKeys(out) }, ...users], users, isDry));
    }
    return {
      objects: parts.flatMap(({ objects }) => objects),
      bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
      kept: parts.reduce((sum, { kept }) => sum + kept, 0),
      others: others.map(({ id, file }) => ({ id, file })),
    };
  } finally {
    release();
  }
}

/** @throws LapidaryError LAP_DATA_SETTING */
function withoutForgotten(others: readonly Registration[], forgotten: string): readonly Registration[] {
  const rest = others.filter(({ id }) => id !== forgotten);
  if (rest.length < others.length) return rest;
  throw new LapidaryError({
    code: "LAP_DATA_SETTING",
    message: `no other pipeline of the store has the id ${forgotten}`,
    location: "--forget",
    remedy: "`lapidary data gc --dry-run` names the other pipelines with their ids",
  });
}

async function collectIn(
  store: OutputStore,
  needing: readonly Registration[],
  others: readonly Registration[],
  isDry: boolean,
): Promise<Omit<Garbage, "others">> {
  const needed = new Set(needing.flatMap(({ keys }) => keys));
  const all = await store.list();
  const unneeded = all.filter(({ key }) => !needed.has(key));
  if (!isDry) {
    for (const { key } of unneeded) await store.remove(key);
    await store.removeUnfinished(keysOf(others));
  }
  return {
    objects: unneeded.map(({ key }) => key),
    bytes: unneeded.reduce((sum, { bytes }) => sum + bytes, 0),
    kept: all.length - unneeded.length,
  };
}
