import { equal, match, ok } from "node:assert/strict";
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

  it("every printed stage has a text", () => {
    for (const stage of printedStages) ok(stageText(read(), stage).length > 0, stage);
  });

  it("a job does not differ from itself", () => {
    const { shardings, collectives } = compareJobs(read(), read());
    equal(shardings.length, 0);
    ok(collectives.every(({ count_a, count_b, bytes_a, bytes_b }) => count_a === count_b && bytes_a === bytes_b));
  });
});
