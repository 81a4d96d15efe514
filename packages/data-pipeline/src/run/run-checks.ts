import type { AccountCounts, StoredObject } from "@lapidary/data-store";
import { LapidaryError } from "@lapidary/std";
import { defaultExpect, type Pipeline } from "../file/pipeline-file.js";
import type { Task } from "../plan/plan.js";
import { lossText } from "../result/stage-accounts.js";

const shownExamples = 3;

/** @throws LapidaryError LAP_DATA_DAMAGED if a file of the shard is damaged, and its source does not accept it */
export function checkDamage(pipeline: Pipeline, { stage, shard }: Task, { account }: StoredObject): void {
  const source = shard?.shard.source ?? "";
  const [error] = account.errors;
  if (stage !== "read" || error === undefined || pipeline.sources[source]?.damaged === "accept") return;
  const others = account.errors.length === 1 ? "" : `, and ${account.errors.length - 1} more files of the shard`;
  throw new LapidaryError({
    code: "LAP_DATA_DAMAGED",
    message: `${error.file} of source ${source} is damaged (${error.reason})${others}`,
    location: shard?.shard.files.find(({ file }) => file === error.file)?.path ?? source,
    ...(/^(not |no column)/.test(error.reason)
      ? { remedy: "name files of this kind in `read`, such as ./texts/**/*.md, or write `damaged: accept` in the source" }
      : {}),
  });
}

/** @throws LapidaryError LAP_DATA_EXPECT if the stage dropped more than its share */
export function checkLosses(pipeline: Pipeline, task: Task, counts: AccountCounts): void {
  const { expect, location } = expectOf(pipeline, task);
  if (counts.in === 0 || (counts.in - counts.out) / counts.in <= expect) return;
  const examples = (counts.examples ?? [])
    .slice(0, shownExamples)
    .map(({ id, reason, excerpt }) => `\n  ${id.slice(0, 12)} ${reason}: ${JSON.stringify(excerpt.slice(0, 80))}`);
  throw new LapidaryError({
    code: "LAP_DATA_EXPECT",
    message: `the stage ${task.stage} dropped ${lossText(counts)}; at most ${Math.round(100 * expect)} % are expected${examples.join("")}`,
    location,
    remedy: "correct the stage; or write `expect: 90%` under it if the loss is intended. `lapidary data card` shows all reasons",
  });
}

/** The stages `read` and `extract` are not in the list of the file. */
function expectOf(pipeline: Pipeline, { stage, stageIndex }: Task): { readonly expect: number; readonly location: string } {
  const hasExtract = Object.values(pipeline.sources).some(({ extract }) => extract !== undefined);
  const at = stageIndex - (hasExtract ? 2 : 1);
  if (stage === "read" || stage === "extract") return { expect: defaultExpect, location: pipeline.locationOf(["sources"]) };
  const found = pipeline.stages[at];
  return { expect: found?.expect ?? defaultExpect, location: pipeline.locationOf(["stages", found?.item ?? at, stage]) };
}
