import { recitation } from "@lapidary/evaluation";
import { z } from "zod";
import type { JudgeTask } from "./task.js";
import { fixtureRows } from "./fixtures.js";

const row = z.object({ name: z.string(), document: z.array(z.number()), generated: z.array(z.number()) });

/** Tests whether generations recite their documents. */
export const memorisation: JudgeTask = {
  name: "memorisation",
  *answers(fixtures) {
    for (const { name, document, generated } of fixtureRows(fixtures, "memorisation/cases.jsonl", row)) {
      const { tested, exact, approximate } = recitation(document, generated);
      yield { name, tested, exact, approximate };
    }
  },
};
