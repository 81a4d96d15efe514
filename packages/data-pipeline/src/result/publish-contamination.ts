import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { OutputStore } from "@lapidary/data-store";
import { LapidaryError, parsedJson, replaceFile } from "@lapidary/std";
import { type ContaminationReport, contaminationReport } from "../decontamination/contamination-report.js";
import { evaluationLines } from "../decontamination/evaluation-sets.js";
import { settingsAs } from "../file/pipeline-file.js";
import type { Plan } from "../plan/plan.js";
import { withScratch } from "../run/run-task.js";
import { localStageFiles } from "../run/stage-files.js";
import { parsedLines } from "../view/json-lines.js";
import { storedObject } from "../view/open-view.js";
import type { PlanFile } from "./plan-file.js";

const fileName = "contamination.json";

/**
 * Writes `contamination.json`, if the pipeline decontaminates: for each evaluation set the documents that hold its items, their passages, and the ids of
 * touched and clean items. Both subsets of each set are also files, so that an evaluation can score them apart.
 *
 * @throws LapidaryError LAP_DATA_STORE, LAP_FILE_…
 */
export async function publishContamination(out: string, store: OutputStore, plan: Plan, { contamination }: PlanFile): Promise<void> {
  if (contamination === undefined) {
    // The report of a pipeline that decontaminated would be that of another dataset.
    for (const name of [fileName, "contamination"]) rmSync(join(out, name), { recursive: true, force: true });
    return;
  }
  for await (const line of parsedLines(store.read(await storedObject(store, contamination), 0))) {
    const report = contaminationReport.parse(line);
    await writeSubsets(join(out, "contamination"), report, store, plan);
    replaceFile(join(out, fileName), `${JSON.stringify(report, undefined, 1)}\n`);
  }
}

/** The report of the dataset; undefined if its pipeline does not decontaminate. @throws LapidaryError LAP_DATA_NO_RESULT */
export function readContamination(out: string): ContaminationReport | undefined {
  const path = join(out, fileName);
  if (!existsSync(path)) return undefined;
  const parsed = contaminationReport.safeParse(parsedJson(readFileSync(path, "utf8")));
  if (parsed.success) return parsed.data;
  throw new LapidaryError({
    code: "LAP_DATA_NO_RESULT",
    message: "the report on evaluation sets has another form",
    location: path,
    remedy: "run the pipeline again: it writes the report of its last result",
  });
}

/** Writes `SET.touched.jsonl` and `SET.clean.jsonl` with the lines of the evaluation set. */
async function writeSubsets(directory: string, report: ContaminationReport, store: OutputStore, { tasks }: Plan): Promise<void> {
  const task = tasks.findLast(({ stage }) => stage === "decontaminate");
  if (task === undefined) return;
  const lines = await withScratch(store, task.key, async (scratch) => {
    const { settings } = await localStageFiles(store, task, scratch);
    return [...evaluationLines(settingsAs("decontaminate", settings).items)];
  });
  rmSync(directory, { recursive: true, force: true });
  const subsets = new Map<string, string[]>();
  const touched = new Map(Object.entries(report).map(([set, { touched: ids }]) => [set, new Set(ids)]));
  for (const set of touched.keys()) for (const subset of ["touched", "clean"]) subsets.set(fileOf(set, subset), []);
  for (const { set, id, line } of lines) subsets.get(fileOf(set, touched.get(set)?.has(id) === true ? "touched" : "clean"))?.push(line);
  for (const [file, kept] of subsets) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    replaceFile(join(directory, file), kept.map((line) => `${line}\n`).join(""));
  }
}

const fileOf = (set: string, subset: string): string => `${set.replace(/\.jsonl$/, "")}.${subset}.jsonl`;
