import { LapidaryError, suggest } from "@lapidary/std";
import type { Reporter } from "../../reporter.js";
import { classify } from "./classify.js";
import { clusters, pairs, substrings } from "./dedup.js";
import { decontamination } from "./decontamination.js";
import { extract } from "./extract.js";
import { filters } from "./filters.js";
import { ingest } from "./ingest.js";
import { memorisation } from "./memorisation.js";
import { mixture } from "./mixture.js";
import { pii } from "./pii.js";
import { stream } from "./stream.js";
import type { JudgeTask } from "./task.js";
import { decode, encode, trained } from "./tokenizer.js";

const tasks: readonly JudgeTask[] = [
  classify,
  clusters,
  decode,
  decontamination,
  encode,
  extract,
  filters,
  ingest,
  memorisation,
  mixture,
  pairs,
  pii,
  stream,
  substrings,
  trained,
];

const judgeTasks: readonly string[] = tasks.map(({ name }) => name);

/** @throws LapidaryError LAP_JUDGE_TASK, LAP_FIXTURES, LAP_FILE_… */
export async function answerFixtures(
  { task, fixtures }: { readonly task: string; readonly fixtures: string },
  reporter: Pick<Reporter, "progress">,
): Promise<object[]> {
  const found = tasks.find(({ name }) => name === task);
  if (found === undefined)
    throw new LapidaryError({
      code: "LAP_JUDGE_TASK",
      message: `unknown task: ${task}`,
      location: "TASK",
      remedy: `write ${suggest(task, judgeTasks) ?? "a task"}; the tasks are ${judgeTasks.join(", ")}`,
    });
  const answers: object[] = [];
  for await (const answer of found.answers(fixtures)) {
    answers.push(answer);
    if (answers.length % 100 === 0) reporter.progress(`answer ${task}`, `${answers.length} rows`);
  }
  return answers;
}
