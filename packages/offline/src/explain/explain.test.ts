import { deepEqual, equal, match, ok } from "node:assert/strict";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { readJobFile, type ResolvedJob } from "../job/job-file.js";
import { compareJobs, explainJob, explainJobValue, printedStages, stageText } from "./explain.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));
const read = (...overrides: string[]): ResolvedJob =>
  readJobFile({ root, cwd: root, home: root }, "e2e/cases/common/tiny.yaml", overrides).job;

describe("the explanation of a job", () => {
  it("every collective has a reason, and the shares add up to one", () => {
    const { collectives } = explainJob(read());
    ok(collectives.length > 0 && collectives.every(({ why }) => why !== ""));
    ok(Math.abs(collectives.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-9);
  });

  it("exactly one alternative of a value is chosen", () => {
    const job = read();
    const details: string[] = [];
    const value = explainJobValue(job, explainJob(job).exampleName, { detail: (text) => details.push(text) });
    equal(value.alternatives.filter(({ chosen }) => chosen).length, 1);
    match(details.join(), /^compile with \d+ other shardings of /);
  });

  it("each stage of a pipeline names the stage that it waits for, and its idle ticks", () => {
    const layout = ["model.layers=4", "train.batch=16", "mesh={ data: 4, stage: 4 }", "train.microbatches=4", "pipeline.order=zero_bubble"];
    const { stages } = explainJob(read(...layout));
    const of = (part: string): unknown[] =>
      stages.filter((each) => each.part === part).map(({ idle, ticks, waits_for }) => [idle, ticks, waits_for]);
    deepEqual(of("forward"), [
      [3, 7, null],
      [3, 7, 0],
      [3, 7, 1],
      [3, 7, 2],
    ]); // prettier-ignore
    deepEqual(of("backward"), [
      [3, 7, 1],
      [3, 7, 2],
      [3, 7, 3],
      [3, 7, null],
    ]); // prettier-ignore
    deepEqual(of("weights"), [
      [0, 4, null],
      [0, 4, null],
      [0, 4, null],
      [0, 4, null],
    ]); // prettier-ignore
    deepEqual(
      stages.map(({ collective }) => collective?.op ?? "none"),
      [0, 1, 2, 3].flatMap((stage) => [
        stage === 0 ? "all_gather" : "collective_permute",
        stage === 3 ? "all_gather" : "collective_permute",
        "none",
      ]),
    );
  });

  it("every printed stage has a text", () => {
    for (const stage of printedStages) ok(stageText(read(), stage).length > 0, stage);
  });

  it("a job does not differ from itself", () => {
    const { shardings, collectives } = compareJobs(read(), read());
    equal(shardings.length, 0);
    ok(collectives.every(({ count_a, count_b, bytes_a, bytes_b }) => count_a === count_b && bytes_a === bytes_b));
  });
});
