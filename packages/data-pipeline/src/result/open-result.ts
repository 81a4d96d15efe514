import { join } from "node:path";
import { openStore, type OutputStore, type S3Access } from "@lapidary/data-store";
import { type PlanFile, readPlanFile } from "./plan-file.js";

/** Files in progress of a store that is not in the output directory. */
export const scratchOf = (out: string): string => join(out, "unfinished");

/**
 * The plan of the pipeline that ran last with an output directory, and the store of its objects.
 *
 * @param s3 for a store in an S3-compatible server
 * @throws LapidaryError LAP_DATA_NO_RESULT, LAP_DATA_CREDENTIALS, LAP_FILE_…
 */
export function openResult(out: string, s3?: S3Access): { readonly plan: PlanFile; readonly store: OutputStore } {
  const plan = readPlanFile(out);
  return { plan, store: openStore(plan.store ?? out, { s3, scratch: scratchOf(out) }) };
}
