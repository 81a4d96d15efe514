import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "@lapidary/std";
import { jobFileOf, printJob, type ResolvedJob } from "@lapidary/training/job";
import { submitRequestSchema } from "@lapidary/api";
import { parseJob, describeJob, jobOfRun, prepareResume } from "./jobs.js";
import { jobFileYaml } from "@lapidary/api/job-file";
import { jobFilePath } from "@lapidary/api/job-file-path";
import { type Run, RunStore } from "@lapidary/telemetry";
import { temporaryDirectory } from "@lapidary/std/testing";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const accept = (request: unknown): ResolvedJob => parseJob(submitRequestSchema.parse(request), root);

describe("the job of a run", () => {
  const directory = temporaryDirectory();
  const job = accept({ path: join(root, "configs/jobs/nano16.yaml"), overrides: ["train.steps=9"] });
  const newRun = async (id: string): Promise<Run> => {
    const runs = await RunStore.open(directory(), systemClock);
    return runs.create({ ...describeJob(job), name: { exactly: id }, priority: 0, queue_id: "q" }).run;
  };
  /** The files that an earlier version wrote. */
  const earlierRun = async (id: string): Promise<Run> => {
    const run = await newRun(id);
    rmSync(join(run.directory, "job.json"));
    writeFileSync(join(run.directory, "job.yaml"), printJob(job));
    return run;
  };

  it("a resolved job in JSON and its job file give the same job, with the same fingerprint", () => {
    const posted = accept(JSON.parse(JSON.stringify({ job: jobFileOf(job) })));
    deepStrictEqual(posted, job);
    strictEqual(describeJob(posted).fingerprint, describeJob(job).fingerprint);
    deepStrictEqual(accept({ yaml: printJob(job), printed: true }), job);
  });

  it("an error names the key if the JSON in a request is not a job", () => {
    const file = jobFileOf(job);
    throws(() => accept({ job: { ...file, train: { ...file.train, steps: -1 } } }), { code: "LAP_CONFIG_VALUE", location: "train.steps" });
    throws(() => accept({ job: { ...file, slice: "32x16" } }), { exit: 4, location: "slice" });
    for (const both of [{ job: file, yaml: "x" }, { job: file, path: "x" }, {}, { job: "x" }, { job: [] }])
      ok(!submitRequestSchema.safeParse(both).success, JSON.stringify(both).slice(0, 40));
  });

  for (const [what, create] of [
    ["a run", newRun],
    ["a run of an earlier version, whose job is YAML,", earlierRun],
  ] as const)
    it(`a job is read again from the files of ${what} with its resume overrides`, async () => {
      const run = await create("again");
      deepStrictEqual(jobOfRun(run, root), job);
      prepareResume(run, root, ["train.steps=20"]);
      prepareResume(run, root, ["zero=2"]);
      deepStrictEqual(jobOfRun(run, root), { ...job, zero: 2, train: { ...job.train, steps: 20 } });
      throws(() => prepareResume(run, root, ["train.optimizer.lr=1"]), { code: "LAP_RESUME_CHANGES", location: "train.optimizer.lr" });
      throws(() => prepareResume(run, root, ["train.batch=33"]), { code: "LAP_MESH_INDIVISIBLE", location: "override train.batch=33" });
      strictEqual(jobFileYaml(run.directory), printJob(job));
    });

  it("a job is stored once, as JSON that the command line reads as a job file", async () => {
    const run = await newRun("stored");
    deepStrictEqual(JSON.parse(readFileSync(jobFilePath(run.directory), "utf8")), JSON.parse(JSON.stringify(jobFileOf(job))));
    ok(!existsSync(join(run.directory, "job.yaml")));
    deepStrictEqual(accept({ path: jobFilePath(run.directory) }), job);
  });

  it("a stored job is rejected if its file is missing, damaged, or not a job", async () => {
    const run = await newRun("damaged");
    const path = jobFilePath(run.directory);
    const text = readFileSync(path, "utf8");
    for (const damage of [text.slice(0, 100), "[]", "null"]) {
      writeFileSync(path, damage);
      throws(() => jobOfRun(run, root), { code: "LAP_JOB_UNREADABLE", location: path });
    }
    writeFileSync(path, text.replace('"steps": 9', '"steps": "nine"'));
    throws(() => jobOfRun(run, root), { code: "LAP_CONFIG_VALUE", location: "train.steps" });
    rmSync(path);
    throws(() => jobOfRun(run, root), { code: "LAP_JOB_UNREADABLE", location: path });
  });
});
