import { ObjectStore } from "@lapidary/data-store";
import { storedObject } from "../view/open-view.js";
import { readPlanFile } from "./plan-file.js";

/**
 * Compares every stored byte of a pipeline with its account.
 *
 * @returns the number of objects
 * @throws LapidaryError LAP_DATA_STORE with the part that differs or is missing
 */
export async function verifyObjects(out: string): Promise<number> {
  const store = new ObjectStore(out);
  const { keys } = readPlanFile(out);
  for (const key of keys) await store.verify(storedObject(store, key));
  return keys.length;
}
