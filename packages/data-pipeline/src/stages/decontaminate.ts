import { asJson, LapidaryError } from "@lapidary/std";
import { globSync } from "tinyglobby";
import { z } from "zod";
import { ContaminationCounts, contaminationReport } from "../decontamination/contamination-report.js";
import { ContaminationSearch, publishedRules } from "../decontamination/contamination-search.js";
import { readEvaluationSets, setNames } from "../decontamination/evaluation-sets.js";
import { noDocuments } from "../dedup/record-parts.js";
import { jsonLines, parsedLines } from "../view/json-lines.js";
import type { ShardView } from "../view/view.js";
import { editDocuments } from "./map-documents.js";
import type { GatherInputs, Stage, StageOutput } from "./stage.js";

const published = z.enum(publishedRules);

/** The settings of `decontaminate`. */
const settings = z.strictObject({
  /** JSONL files, or patterns of files. Each file is an evaluation set. */
  items: z.union([
    z
      .string()
      .min(1)
      .transform((pattern) => [pattern]),
    z.array(z.string().min(1)).min(1),
  ]),
  rule: z.union([z.literal("own"), published]).default("own"),
  also_report: z.array(published).default([]),
});
export type DecontaminateSettings = z.output<typeof settings>;

/**
 * Drops documents that hold items of evaluation sets.
 *
 *     find     each shard → edits, and a report of the shard
 *     report   all shards → a report for each evaluation set: documents, passages, touched and clean items
 */
export const decontaminate: Stage<DecontaminateSettings> = {
  settings,
  changes: true,
  located: (settings, resolvePath) => ({
    ...settings,
    items: [...new Set(settings.items.flatMap((pattern) => filesOf(resolvePath(pattern))))].sort(),
  }),
  files: ({ items }) => items,
  config: ({ items, rule, also_report }) => asJson({ sets: [...setNames(items)], rule, also_report }),
  steps: () => [
    { shape: "map", name: "find", code: "1", writes: "edits", run: findContamination },
    { shape: "gather", name: "report", code: "1", partitions: () => 1, run: (inputs, _, __, settings) => gatherReport(inputs, settings) },
  ],
};

/** The part of the object of a shard that has its report. */
const reportPart = 1;

async function* findContamination(view: ShardView, { items: files, rule, also_report }: DecontaminateSettings): StageOutput {
  const items = readEvaluationSets(files);
  const counts = new ContaminationCounts(items);
  const search = new ContaminationSearch(items, [...new Set([...also_report, ...(rule === "own" ? [] : [rule])])]);
  const account = yield* editDocuments(view, ({ id, text }) => {
    const found = search.find(text);
    counts.add(id, view.source, found);
    for (const each of also_report) counts.addPublished(each, search.setsBy(each, text));
    const sets = rule === "own" ? found.map(({ set }) => set) : search.setsBy(rule, text);
    const [first] = sets.toSorted();
    return first === undefined ? undefined : { drop: `holds an item of ${first}` };
  });
  yield jsonLines([counts.report()]);
  return account;
}

async function* gatherReport(inputs: GatherInputs, { items }: DecontaminateSettings): StageOutput {
  const counts = new ContaminationCounts(readEvaluationSets(items));
  for (const object of inputs.objects)
    for await (const report of parsedLines(inputs.read(object, reportPart))) counts.merge(contaminationReport.parse(report));
  yield jsonLines([counts.report()]);
  return noDocuments(0);
}

function filesOf(pattern: string): readonly string[] {
  const files = globSync([pattern], { absolute: true, followSymbolicLinks: false, expandDirectories: false }).sort();
  if (files.length > 0) return files;
  throw new LapidaryError({
    code: "LAP_DATA_MISSING",
    message: `no file matches ${pattern}`,
    location: "decontaminate.items",
    remedy: "correct the path; relative paths begin at the directory of the pipeline file",
  });
}
