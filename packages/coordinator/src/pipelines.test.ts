import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type SubmitPipeline, trainingReport } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { isOfType } from "@lapidary/api/run-events";
import { LapidaryError } from "@lapidary/std";
import { jobFileOf, resolveJob } from "@lapidary/training";
import { endless, endOf, eventOf, Harness, projectRoot, trains } from "./testing/harness.js";

describe("pipelines", function () {
  this.timeout(120_000);
  const harness = new Harness();
  let client: CoordinatorClient;
  before(async () => {
    client = await harness.start();
  });
  after(() => harness.remove());

  const job = (...overrides: string[]): SubmitPipeline["jobs"][number]["job"] =>
    jobFileOf(
      resolveJob({ text: harness.job({ slice: "4x4", mesh: "{ data: 4, model: 4 }", steps: 3 }), file: "job", base: "/" }, overrides, {
        configsDir: join(projectRoot, "configs"),
        base: "/",
        runs: new Map([["base", "base"]]),
      }),
    ) as SubmitPipeline["jobs"][number]["job"];
  const pipeline = (name: string, ...base: string[]): SubmitPipeline => ({
    name,
    like: "two",
    jobs: [
      { name: "tuned", needs: ["base"], job: job("train.init=base", "train.steps=2") },
      { name: "base", job: job(...base) },
    ],
  });

  it("a job starts from the newest checkpoint of the job that it needs", async () => {
    const submitted = await client.submitPipeline(pipeline("first"));
    deepStrictEqual(submitted.jobs, [
      { name: "base", run: "first-base", needs: [] },
      { name: "tuned", run: "first-tuned", needs: ["base"] },
    ]);
    const waiting = await eventOf(client, "first-tuned", ({ event }) => event === "state");
    deepStrictEqual(waiting.event === "state" && waiting.data.waiting_for, ["first-base"]);
    strictEqual((await endOf(client, "first-tuned")).state, "done");
    const { events } = await client.events("first-tuned");
    const { checkpoint } = trainingReport(await client.report("first-base"));
    deepStrictEqual(
      events.filter(isOfType("weights_loaded")).map(({ path }) => path),
      [checkpoint],
    );
    const detail = await client.pipeline("first");
    deepStrictEqual([detail.state, detail.jobs.map(({ summary }) => summary?.state)], ["done", ["done", "done"]]);
    deepStrictEqual([(await client.get("first-tuned")).pipeline, (await client.get("first-tuned")).waiting_for], ["first", undefined]);

    strictEqual((await client.submitPipeline(pipeline("first"))).existed, true);
    await rejects(client.submitPipeline(pipeline("first", "train.steps=9")), { code: "LAP_JOB_NAME_TAKEN" });
    strictEqual((await client.submitPipeline({ ...pipeline("x"), name: undefined })).id, "two-1");
    await endOf(client, "two-1-tuned");
  });

  it("a job whose need is cancelled ends with an error that names the need", async () => {
    await client.submitPipeline(pipeline("bad", `train.steps=${endless}`));
    await trains(client, "bad-base");
    await client.cancel("bad-base");
    const end = await endOf(client, "bad-tuned");
    deepStrictEqual([end.state, end.error?.code, end.error?.place], ["cancelled", "LAP_NEED_FAILED", "bad-base"]);
    await rejects(client.resume("bad-tuned"), { code: "LAP_NEED_FAILED" });
  });

  it("cancel of a pipeline cancels the jobs that wait, and a running job goes on", async () => {
    await client.submitPipeline(pipeline("stop", `train.steps=${endless}`));
    await trains(client, "stop-base");
    deepStrictEqual(await client.cancelPipeline("stop"), { id: "stop", cancelled: ["stop-tuned"], running: ["stop-base"] });
    const end = await endOf(client, "stop-tuned");
    deepStrictEqual([end.state, end.error], ["cancelled", undefined]);
    strictEqual((await client.pipeline("stop")).state, "running");
    await client.cancel("stop-base");
    await endOf(client, "stop-base");
    strictEqual((await client.pipeline("stop")).state, "cancelled");
    await rejects(client.pipeline("absent"), { code: "LAP_JOB_UNKNOWN" });
  });

  it("a pipeline with a mistake is refused, and no run remains", async () => {
    const runs = (await client.list({})).jobs.length;
    const refused = (jobs: SubmitPipeline["jobs"], code: string, location: string) =>
      rejects(client.submitPipeline({ like: "two", jobs }), (error: unknown) => {
        ok(error instanceof LapidaryError);
        deepStrictEqual([error.code, error.location], [code, location]);
        return true;
      });
    await refused([{ name: "a", needs: ["b"], job: job() }], "LAP_PIPELINE_NEED", "jobs.a.needs");
    await refused([{ name: "a", needs: ["a"], job: job() }], "LAP_PIPELINE_CYCLE", "jobs.a.needs");
    await refused(
      [
        { name: "a", job: job() },
        { name: "a", job: job() },
      ],
      "LAP_PIPELINE_JOB",
      "jobs.a.needs",
    );
    const base = { name: "base", job: job() };
    await refused([base, { name: "tuned", job: job("train.init=base") }], "LAP_PIPELINE_INIT", "jobs.tuned.train.init");
    strictEqual((await client.list({})).jobs.length, runs);
    strictEqual(existsSync(join(harness.home, "pipelines", "two-2.json")), false);
  });

  it("a waiting job goes on under the next coordinator, also if its need was stopped with the coordinator and is resumed", async () => {
    await client.submitPipeline(pipeline("later", "train.steps=200"));
    await trains(client, "later-base");
    await harness.stop();
    // A coordinator that was killed while it created the runs leaves the contents of the missing run in the file of the pipeline.
    const file = join(harness.home, "pipelines", "later.json");
    const record = JSON.parse(readFileSync(file, "utf8")) as { jobs: Record<string, unknown>[] };
    const directory = join(harness.home, "runs", "later-tuned");
    const { id: _, created_at: __, ...identity } = JSON.parse(readFileSync(join(directory, "run.json"), "utf8")) as Record<string, unknown>;
    const new_run = { ...identity, jobFile: readFileSync(join(directory, "job.json"), "utf8") };
    writeFileSync(
      file,
      JSON.stringify({ ...record, jobs: record.jobs.map((each) => (each["run"] === "later-tuned" ? { ...each, new_run } : each)) }),
    );
    rmSync(directory, { recursive: true });

    client = await harness.start();
    const { state, waiting_for } = await client.get("later-tuned");
    deepStrictEqual(
      [state, waiting_for, (await client.get("later-base")).error?.code],
      ["queued", ["later-base"], "LAP_COORDINATOR_STOPPED"],
    );
    await client.resume("later-base");
    strictEqual((await endOf(client, "later-tuned")).state, "done");
    strictEqual((await client.pipeline("later")).state, "done");
  });
});
