import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ObjectStore } from "@lapidary/data-store";
import { isSystemError, replaceFile } from "@lapidary/std";
import { type ContaminationReport, contaminationReport } from "../decontamination/contamination-report.js";
import { parsedLines } from "../view/json-lines.js";
import { storedObject } from "../view/open-view.js";
import type { PlanFile } from "./plan-file.js";

const fileName = "contamination.json";

/**
 * Writes `contamination.json`, if the pipeline decontaminates: for each evaluation set the documents that hold its items, their passages, and the ids of
 * touched and clean items.
 *
 * @throws LapidaryError LAP_DATA_STORE, LAP_FILE_…
 */
export async function publishContamination(out: string, store: ObjectStore, { contamination }: PlanFile): Promise<void> {
  if (contamination === undefined) return;
  for await (const line of parsedLines(store.read(storedObject(store, contamination), 0)))
    replaceFile(join(out, fileName), `${JSON.stringify(contaminationReport.parse(line), undefined, 1)}\n`);
}

/** What `publishContamination` wrote; empty if it wrote nothing, or if the file is damaged. */
export function readContamination(out: string): ContaminationReport {
  try {
    return contaminationReport.safeParse(JSON.parse(readFileSync(join(out, fileName), "utf8"))).data ?? {};
  } catch (error) {
    if (isSystemError(error) || error instanceof SyntaxError) return {};
    throw error;
  }
}
