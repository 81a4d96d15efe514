import { deepStrictEqual, match, ok, throws } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LapidaryError } from "@lapidary/std";
import { jobFileSchema } from "./job-schema.js";
import { type JobText, type JobValue, type LocatedJob, resolveLocatedJob } from "./load-job.js";
import { renamedKeys } from "./renamed-keys.js";
import { jobFileOf, printJob } from "./resolved-job.js";
import { dottedPaths } from "./schema-paths.js";

const environment = { configsDir: fileURLToPath(new URL("../../../../configs", import.meta.url)), base: "/work/here" };
const guard = "  guard: { not_finite: skip, most: 3 }\n";
const text = `model: nano16
pod: v5e-256
mesh: { data: 16, model: 16 }
stall_after: 30
train:
  steps: 10
  batch: 32
  optimizer: { name: adamw, lr: 1e-3 }
${guard}`;
const current = text.replace("stall_after", "stall_timeout_s").replace("most", "max_skipped");
const located = (given: Partial<JobText | JobValue>, ...overrides: string[]): LocatedJob =>
  resolveLocatedJob({ text, file: "job.yaml", base: "/jobs", ...given }, overrides, environment);

function messageOf(run: () => unknown): string {
  let found = "";
  throws(run, (error) => {
    ok(error instanceof LapidaryError, String(error));
    found = `${error.code} ${error.location}: ${error.message}`;
    return true;
  });
  return found;
}

describe("renamed keys of job files", () => {
  it("each current key is in the schema, no old key is, and both have the same parent", () => {
    const paths = dottedPaths(jobFileSchema);
    const parentOf = (path: string): string => join("/", ...path.split(".").slice(0, -1));
    for (const { old, current: now } of renamedKeys)
      deepStrictEqual([paths.includes(old), paths.includes(now), parentOf(old)], [false, true, parentOf(now)]);
  });

  it("a file with old keys resolves to the job of the current keys, with a warning at each key", () => {
    const { job, warnings } = located({});
    deepStrictEqual([job.stall_timeout_s, job.train.guard?.max_skipped], [30, 3]);
    deepStrictEqual(job, located({ text: current }).job);
    deepStrictEqual(located({ text: current }).warnings, []);
    deepStrictEqual(
      warnings.map(({ code, place, remedy }) => [code, place, remedy]),
      [
        ["LAP_CONFIG_RENAMED", "job.yaml:4:1", "write stall_timeout_s"],
        ["LAP_CONFIG_RENAMED", "job.yaml:9:30", "write train.guard.max_skipped"],
      ],
    );
    match(warnings[0]?.message ?? "", /stall_after has the new name stall_timeout_s/);
  });

  it("an override with an old key sets the current key, also inside a mapping", () => {
    const plain = located({ text: current }, "stall_after=7", "train.guard={not_finite: skip, most: 4}");
    deepStrictEqual([plain.job.stall_timeout_s, plain.job.train.guard?.max_skipped], [7, 4]);
    deepStrictEqual(
      plain.warnings.map(({ place }) => place),
      ["override stall_after=7", "override train.guard={not_finite: skip, most: 4}"],
    );
    deepStrictEqual(located({}, "stall_timeout_s=8", "train.guard.most=5").job.train.guard?.max_skipped, 5);
    deepStrictEqual(located({}, "stall_timeout_s=8").job.stall_timeout_s, 8);
  });

  it("a resolved job prints the current keys, and a stored job with old keys still resolves", () => {
    const { job } = located({});
    ok(!/stall_after|most:/.test(printJob(job)));
    const { stall_timeout_s: seconds, ...rest } = jobFileOf(job);
    const stored = { ...rest, stall_after: seconds, train: { ...rest.train, guard: { not_finite: "skip", most: 3 } } };
    const given = structuredClone(stored);
    const again = located({ value: stored, file: "job" });
    deepStrictEqual(again.job, job);
    deepStrictEqual(stored, given);
  });

  it("an error about the value of an old key has its location", () => {
    match(
      messageOf(() => located({ text: text.replace("30", "no") })),
      /^LAP_CONFIG_VALUE job\.yaml:4:1: stall_timeout_s is "no"/,
    );
    match(
      messageOf(() => located({}, "train.guard.most=0")),
      /^LAP_CONFIG_VALUE override train\.guard\.most=0: /,
    );
  });

  it("a mapping with the old and the current key is rejected", () => {
    match(
      messageOf(() => located({ text: `${current}stall_after: 5\n` })),
      /^LAP_CONFIG_UNKNOWN_KEY job\.yaml:10:1: .*stall_after/,
    );
  });
});
