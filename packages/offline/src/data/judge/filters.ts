import { createHash } from "node:crypto";
import { droppedBy, measureText, patternWords, presets, whitespaceWords } from "@lapidary/text-filters";
import { z } from "zod";
import { fixtureRows } from "./fixtures.js";
import type { JudgeTask } from "./task.js";

const document = z.object({ id: z.string(), text: z.string() });

/** The verdicts of the published filters, with two ways to split words. */
export const filters: JudgeTask = {
  name: "filters",
  *answers(fixtures) {
    for (const { id, text } of fixtureRows(fixtures, "filters/documents.jsonl", document))
      for (const splitter of [patternWords, whitespaceWords]) {
        const { measures, c4Text } = measureText(text, splitter);
        for (const { name, rules } of presets) {
          const reason = droppedBy(rules, measures);
          const left = name === "c4_quality" && reason === undefined ? { text_sha256: sha256(c4Text) } : {};
          yield { id, filter: name, tokenizer: splitter.name, keep: reason === undefined, reason: reason ?? null, ...left };
        }
      }
  },
};

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
