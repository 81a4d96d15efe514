import type { S3Access } from "@lapidary/data-store";
import { storedObject } from "../view/open-view.js";
import { openResult } from "./open-result.js";

/**
 * Compares every stored byte of a pipeline with its account.
 *
 * @returns the number of objects
 * @throws LapidaryError LAP_DATA_STORE with the part that differs or is missing
 */
export async function verifyObjects(out: string, s3?: S3Access): Promise<number> {
  const { store, plan } = openResult(out, s3);
  let objects = 0;
  for (const key of plan.keys()) {
    await store.verify(await storedObject(store, key));
    objects++;
  }
  return objects;
}
