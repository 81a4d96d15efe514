import { createHash } from "node:crypto";
import { droppedBy, patternWords, presets, TextMeter, whitespaceWords } from "@lapidary/text-filters";
import { z } from "zod";
import { fixtureRows } from "./fixtures.js";
import type { JudgeTask } from "./task.js";

const document = z.object({ id: z.string(), text: z.string() });

/** The verdicts of the published filters, with two ways to split words. */
export const filters: JudgeTask = {
  name: "filters",
  *answers(fixtures) {
    const meters = [patternWords, whitespaceWords].map((splitter) => ({ tokenizer: splitter.name, meter: new TextMeter(splitter) }));
    for (const { id, text } of fixtureRows(fixtures, "filters/documents.jsonl", document))
      for (const { tokenizer, meter } of meters) {
        const { measures, c4Text } = meter.measure(text);
        for (const { name, rules } of presets) {
          const reason = droppedBy(rules, measures);
          const left = name === "c4_quality" && reason === undefined ? { text_sha256: sha256(c4Text) } : {};
          yield { id, filter: name, tokenizer, keep: reason === undefined, reason: reason ?? null, ...left };
        }
      }
  },
};

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
