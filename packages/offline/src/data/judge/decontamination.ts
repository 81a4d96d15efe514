import { ContaminationIndex, datatroveRule, janitorRule } from "@lapidary/detectors";
import { patternWords } from "@lapidary/text-filters";
import { z } from "zod";
import { fixtureRows } from "./fixtures.js";
import type { JudgeTask } from "./task.js";

const document = z.object({ id: z.string(), text: z.string() });
const item = z.object({ id: z.string(), query: z.string(), label: z.string(), context: z.string().optional() });

/** Which documents hold an item of an evaluation set, by two published rules and by our own. */
export const decontamination: JudgeTask = {
  name: "decontamination",
  *answers(fixtures) {
    const items = fixtureRows(fixtures, "decontamination/evals.jsonl", item);
    const published = [
      { rule: "datatrove", tokenizer: "pattern", by: datatroveRule(patternWords, false) },
      { rule: "datatrove_query", tokenizer: "pattern", by: datatroveRule(patternWords, true) },
      { rule: "janitor", by: janitorRule() },
    ];
    for (const { by } of published) for (const each of items) by.add(each);
    const own = new ContaminationIndex(items);
    for (const { id, text } of fixtureRows(fixtures, "decontamination/documents.jsonl", document)) {
      for (const { by, ...names } of published) yield { id, ...names, contaminated: by.isContaminated(text) };
      yield { id, rule: "own", contaminated: own.find(text) !== undefined };
    }
  },
};
