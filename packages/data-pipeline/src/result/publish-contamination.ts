import { join } from "node:path";
import type { OutputStore } from "@lapidary/data-store";
import { replaceFile } from "@lapidary/std";
import { contaminationReport } from "../decontamination/contamination-report.js";
import { parsedLines } from "../view/json-lines.js";
import { storedObject } from "../view/open-view.js";
import type { PlanFile } from "./plan-file.js";

/**
 * Writes `contamination.json`, if the pipeline decontaminates: for each evaluation set the documents that hold its items, their passages, and the ids of
 * touched and clean items.
 *
 * @throws LapidaryError LAP_DATA_STORE, LAP_FILE_…
 */
export async function publishContamination(out: string, store: OutputStore, { contamination }: PlanFile): Promise<void> {
  if (contamination === undefined) return;
  for await (const line of parsedLines(store.read(await storedObject(store, contamination), 0)))
    replaceFile(join(out, "contamination.json"), `${JSON.stringify(contaminationReport.parse(line), undefined, 1)}\n`);
}
