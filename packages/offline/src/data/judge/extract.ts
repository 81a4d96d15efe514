import { mainText } from "@lapidary/readers";
import { z } from "zod";
import { fixtureRows } from "./fixtures.js";
import type { JudgeTask } from "./task.js";

const page = z.object({ id: z.string(), html: z.string() });

/** The main text of pages. */
export const extract: JudgeTask = {
  name: "extract",
  *answers(fixtures) {
    for (const { id, html } of fixtureRows(fixtures, "extract/pages.jsonl", page)) yield { id, text: mainText(html) };
  },
};
