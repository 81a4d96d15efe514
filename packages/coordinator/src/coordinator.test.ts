import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readHfCheckpoint, readSafetensors } from "@lapidary/interop";
import type { LapidaryError } from "@lapidary/std";
import { trainingReport } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { isOfType } from "@lapidary/api/run-events";
import { aliveOf, endless, endOf, eventOf, Harness, trains } from "./testing/harness.js";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("the coordinator", function () {
  this.timeout(120_000);
  const harness = new Harness();
  const redisPid = (): number => Number(readFileSync(join(harness.home, "redis", "redis.pid"), "utf8"));
  let client: CoordinatorClient;
  before(async () => {
    client = await harness.start();
  });
  after(() => harness.remove());

  it("the coordinator runs a job from its file to a report, with losses, a checkpoint and a sample", async () => {
    const job = harness.job({
      steps: 12,
      slice: "16x16",
      mesh: "{ data: 16, model: 16 }",
      train: "  eval: { every: 4, batches: 2 }",
      more: "checkpoint: { every: 4, keep: 2 }\nsample: { prompt: the, tokens: 8 }",
    });
    const { id, existed } = await client.submit({ yaml: job, name: "first" });
    deepStrictEqual([id, existed], ["first", false]);
    const { state, error } = await endOf(client, id);
    deepStrictEqual([state, error], ["done", undefined]);

    const { metrics } = await client.metrics(id);
    const train = metrics.filter((row) => row.kind === "train");
    deepStrictEqual(
      train.map(({ step }) => step),
      Array.from({ length: 12 }, (_, i) => i + 1),
    );
    deepStrictEqual(
      metrics.flatMap((row) => (row.kind === "eval" ? [row.step] : [])),
      [4, 8, 12],
    );
    ok((train.at(-1)?.loss ?? Infinity) < (train[0]?.loss ?? 0));

    const report = trainingReport(await client.report(id));
    deepStrictEqual([report.chips, report.workers, report.mesh, report.steps], [256, 2, "data=16,model=16", 12]);
    // ZeRO-3: a chip has 1/256 of its arrays, and 1/16 of the norms.
    const share = (report.bytes_per_chip.params * 256) / (report.parameters * 4);
    ok(share >= 1 && share < 1.05, `${share}`);
    ok(report.collectives.some(({ op, axis, why }) => op === "all_gather" && axis === "data" && why !== ""));
    ok(report.heldout_loss < (train[0]?.loss ?? 0) && report.unigram_loss > 0 && report.sample.prompt === "the");

    const { checkpoints } = await client.checkpoints(id);
    deepStrictEqual(
      checkpoints.map(({ step }) => step),
      [8, 12],
    );
    strictEqual(checkpoints.at(-1)?.path, report.checkpoint);
    const { config, tensors } = await readHfCheckpoint(report.checkpoint);
    strictEqual(config.modelDim, 64);
    strictEqual(
      [...tensors.values()].reduce((n, { data }) => n + data.length, 0),
      report.parameters,
    );
    const moments = await readSafetensors(join(report.checkpoint, "optimizer.safetensors"));
    strictEqual(moments.size, 2 * tensors.size);

    const detail = await client.get(id);
    deepStrictEqual([detail.state, detail.step, detail.steps], ["done", 12, 12]);
    const { events, skipped } = await client.events(id);
    strictEqual(skipped, 0);
    deepStrictEqual(
      events.filter(isOfType("checkpoint_written")).map(({ step }) => step),
      [4, 8, 12],
    );
    ok((events.find(isOfType("dataset_ready"))?.documents ?? 0) > 0);
    deepStrictEqual(
      events.filter(isOfType("attempt_ended")).map(({ attempt, step, reason }) => [attempt, step, reason]),
      [[1, 12, "finished"]],
    );
    strictEqual(events.at(-1)?.type, "job_ended");
    ok(readFileSync(join(detail.directory, "job.json"), "utf8").includes('"model_dim": 64'));
    strictEqual((await client.status()).pods?.free_chips, 256);
  });

  it("the coordinator answers a known name with the run of that name", async () => {
    const job = harness.job();
    const first = await client.submit({ yaml: job, name: "twice" });
    deepStrictEqual(await client.submit({ yaml: job, name: "twice" }).then(({ id, existed }) => [id, existed]), [first.id, true]);
    await rejects(client.submit({ yaml: job, name: "twice", overrides: ["train.steps=5"] }), { code: "LAP_JOB_NAME_TAKEN" });
    await endOf(client, first.id);
  });

  it("the coordinator starts a job from the weights of a checkpoint", async () => {
    const { checkpoint, heldout_loss } = trainingReport(await client.report("first"));
    const { id } = await client.submit({
      yaml: harness.job({ steps: 1, train: `  init: ${checkpoint}\n  schedule: { name: linear, warmup: 1 }` }),
      overrides: ["train.optimizer.lr=1e-9"],
    });
    strictEqual((await endOf(client, id)).state, "done");
    ok(Math.abs(trainingReport(await client.report(id)).heldout_loss - heldout_loss) < 0.3);
    const other = { yaml: harness.job({ train: `  init: ${checkpoint}` }), overrides: ["model=micro"] };
    await rejects(client.submit(other), { code: "LAP_INIT_MISMATCH" });
  });

  it("the coordinator trains two jobs on two halves of a pod in parallel while others wait, the higher priority first", async () => {
    const submit = async (name: string, priority = 0): Promise<string> =>
      (await client.submit({ yaml: harness.job({ steps: endless }), name, priority })).id;
    const [a, b] = [await submit("half-a"), await submit("half-b")];
    await Promise.all([trains(client, a), trains(client, b)]);
    const [c, d] = [await submit("waits"), await submit("hurries", 5)];
    const stateOf = async (id: string): Promise<string> => (await client.get(id)).state;
    deepStrictEqual(await Promise.all([a, b, c, d].map(stateOf)), ["running", "running", "queued", "queued"]);
    const { pods, workers } = await client.status();
    deepStrictEqual(
      pods?.slices.map(({ job, origin, dims }) => [job, origin.join(), dims.join("x")]),
      [
        ["half-a", "0,0", "8x16"],
        ["half-b", "8,0", "8x16"],
      ],
    );
    deepStrictEqual(workers.flatMap(({ job }) => job ?? []).sort(), ["half-a", "half-b"]);

    await client.cancel(a);
    strictEqual((await endOf(client, a)).state, "cancelled");
    await trains(client, d);
    strictEqual(await stateOf(c), "queued");
    strictEqual((await client.cancel(c)).state, "cancelled");
    for (const id of [b, d]) await client.cancel(id);
    for (const id of [b, c, d]) strictEqual((await endOf(client, id)).state, "cancelled");
    strictEqual((await client.status()).pods?.free_chips, 256);
  });

  it("the coordinator continues a job whose worker is killed, with the same losses", async () => {
    const job = harness.job({ steps: 8 });
    const { id: quiet } = await client.submit({ yaml: job, name: "quiet" });
    strictEqual((await endOf(client, quiet)).state, "done");
    const { id: doomed } = await client.submit({ yaml: job, name: "doomed" });
    await trains(client, doomed);
    const pid = (await client.get(doomed)).workers?.[0]?.pid ?? 0;
    process.kill(pid, "SIGKILL");
    strictEqual((await endOf(client, doomed)).state, "done");
    const rows = async (id: string): Promise<[number, number, number | undefined][]> =>
      (await client.metrics(id)).metrics.flatMap((row) => (row.kind === "train" ? [[row.step, row.loss, row.grad_norm]] : []));
    deepStrictEqual(await rows(doomed), await rows(quiet));
    const { events } = await client.events(doomed);
    deepStrictEqual(
      events.filter(isOfType("worker_lost")).map(({ worker, pid: lost, signal }) => [worker, lost, signal]),
      [[0, pid, "SIGKILL"]],
    );
    deepStrictEqual(
      events.filter(isOfType("worker_restarted")).map(({ worker, previous_pid }) => [worker, previous_pid]),
      [[0, pid]],
    );
    const [failed] = events.filter(isOfType("attempt_failed"));
    const restored = events.filter(isOfType("state_restored")).at(-1);
    deepStrictEqual([failed?.error.code, failed?.recoverable, restored?.error_code], ["LAP_WORKER_LOST", true, "LAP_WORKER_LOST"]);
    strictEqual(restored?.repeated_steps, (failed?.step ?? 0) - 1 - (restored?.step ?? 0));
    const weights = async (id: string): Promise<string> =>
      sha256(readFileSync(join(trainingReport(await client.report(id)).checkpoint, "model.safetensors")));
    strictEqual(await weights(doomed), await weights(quiet));
    const { goodput } = await client.get(doomed);
    ok(goodput !== undefined && goodput.failures === 1 && goodput.ratio > 0 && goodput.ratio < 1);
  });

  it("the coordinator rejects a job with a wrong corpus, checkpoint or vocabulary at launch, and keeps no run", async () => {
    const before = (await client.list({})).jobs.length;
    const empty = join(harness.directory, "empty.txt");
    writeFileSync(empty, "");
    const refused = async (override: string, code: string, place: string): Promise<void> =>
      rejects(client.submit({ yaml: harness.job(), overrides: [override] }), (error: LapidaryError) => {
        deepStrictEqual([error.code, error.exit], [code, 2]);
        ok(error.location?.includes(place), error.location);
        return true;
      });
    await refused(`data.corpus=${empty}`, "LAP_DATA_EMPTY", `data.corpus: ${empty}`);
    await refused("data.corpus=/dev/null", "LAP_DATA_UNREADABLE", "data.corpus");
    await refused("train.init=/absent", "LAP_CHECKPOINT_MISSING", "train.init: /absent");
    await refused("data.vocab=100", "LAP_DATA_VOCABULARY", "data.vocab");
    strictEqual((await client.list({})).jobs.length, before);
  });

  it("a job that diverges fails with location and remedy, and a job that does not fit is rejected", async () => {
    const diverging = await client.submit({ yaml: harness.job({ steps: 20 }), overrides: ["train.optimizer.lr=1e30"] });
    const diverged = await endOf(client, diverging.id);
    deepStrictEqual([diverged.state, diverged.error?.code], ["failed", "LAP_LOSS_NOT_FINITE"]);
    ok(
      /^step \d+, batch \d+ of the training data/.test(diverged.error?.place ?? "") && diverged.error?.remedy !== "",
      diverged.error?.place,
    );

    const guarded = await client.submit({
      yaml: harness.job({ steps: 20, train: "  guard: { not_finite: skip, max_skipped: 2 }" }),
      overrides: ["train.optimizer.lr=1e30"],
    });
    const failed = await endOf(client, guarded.id);
    deepStrictEqual([failed.state, failed.error?.code], ["failed", "LAP_LOSS_NOT_FINITE"]);
    ok(/^step \d+, batch \d+ of the training data/.test(failed.error?.place ?? ""), failed.error?.place);
    strictEqual((await client.events(guarded.id)).events.filter(isOfType("batch_skipped")).length, 2);

    await rejects(client.submit({ yaml: harness.job(), overrides: ["slice=32x16"] }), { code: "LAP_SLICE_TOO_LARGE", exit: 4 });
    await rejects(client.submit({ yaml: harness.job(), overrides: ["trian.steps=3"] }), { exit: 2 });
    await rejects(client.submit({ path: "configs/jobs/absent.yaml" }), { exit: 2 });
  });

  it("the coordinator cancels a job at any stage", async () => {
    for (const stage of ["compiling", "placing"] as const) {
      // Each test has another vocabulary, so that no dataset is in the cache.
      const { id } = await client.submit({
        yaml: harness.job({ steps: endless }),
        overrides: [`data.vocab=${stage === "compiling" ? 400 : 410}`],
      });
      await eventOf(client, id, ({ event, data }) => event === "state" && "state" in data && data.state === stage);
      await client.cancel(id);
      strictEqual((await endOf(client, id)).state, "cancelled");
    }
    strictEqual((await client.status()).pods?.free_chips, 256);
  });

  it("the coordinator ends every process it started, and the next one finds the runs and continues the waiting ones", async () => {
    const running = await client.submit({
      yaml: harness.job({ steps: endless, slice: "16x16", mesh: "{ data: 16, model: 16 }" }),
      name: "interrupted",
    });
    await trains(client, running.id);
    const waiting = await client.submit({ yaml: harness.job(), name: "patient" });
    const { workers } = await client.status();
    const redis = redisPid();
    strictEqual(aliveOf([redis, ...workers.map(({ pid }) => pid)]).length, workers.length + 1);
    const done = endOf(client, running.id);
    await harness.stop();
    deepStrictEqual(await done.then(({ state, error }) => [state, error?.code, error?.message]), [
      "cancelled",
      "LAP_COORDINATOR_STOPPED",
      "coordinator stopped",
    ]);
    deepStrictEqual(aliveOf([redis, ...workers.map(({ pid }) => pid)]), []);
    ok(!existsSync(join(harness.home, "coordinator.json")));

    client = await harness.start();
    strictEqual((await endOf(client, waiting.id)).state, "done");
    deepStrictEqual([(await client.get("interrupted")).state, (await client.report("first")).id], ["cancelled", "first"]);
  });

  it("the coordinator continues a job while Redis is down, restarts Redis, and loses no waiting job", async () => {
    const whole = { slice: "16x16", mesh: "{ data: 16, model: 16 }" };
    const { id } = await client.submit({ yaml: harness.job({ steps: endless, ...whole }), name: "steadfast" });
    await trains(client, id);
    const waiting = await client.submit({ yaml: harness.job({ steps: 2, ...whole }), name: "in-line" });
    const pid = redisPid();
    process.kill(pid, "SIGKILL");
    const { step } = await client.get(id);
    await eventOf(client, id, ({ event, data }) => event === "metrics" && "step" in data && data.step > step + 5);
    while (!(await client.status()).redis.connected || redisPid() === pid) await trains(client, id);
    const after = await client.submit({ yaml: harness.job({ steps: 2, ...whole }), name: "after" });
    await client.cancel(id);
    strictEqual((await endOf(client, id)).state, "cancelled");
    for (const next of [waiting.id, after.id]) strictEqual((await endOf(client, next)).state, "done");
  });

  it("the coordinator resumes a cancelled job after its last checkpoint, on another mesh with another number of workers", async () => {
    const job = harness.job({ steps: 12, train: "  schedule: { name: linear, warmup: 1 }", more: "checkpoint: { every: 4 }" });
    const { id: quiet } = await client.submit({ yaml: job, name: "uninterrupted" });
    strictEqual((await endOf(client, quiet)).state, "done");
    const { id } = await client.submit({ yaml: job, name: "taken-up" });
    while ((await client.checkpoints(id)).checkpoints.length === 0) await trains(client, id);
    await client.cancel(id);
    strictEqual((await endOf(client, id)).state, "cancelled");
    await rejects(client.resume(id, { overrides: ["train.optimizer.lr=1"] }), { code: "LAP_RESUME_CHANGES", exit: 2 });
    await rejects(client.resume(quiet), { code: "LAP_JOB_NOT_RESUMABLE" });
    const newest = Math.max(...(await client.checkpoints(id)).checkpoints.map(({ step }) => step));
    const { from_step, state } = await client.resume(id, { overrides: ["mesh.data=16", "mesh.model=8", "zero=1", "workers=2"] });
    ok(newest >= 1);
    strictEqual(from_step, newest);
    // If the pod is free, the job can leave the queue before the answer.
    ok(["queued", "compiling", "placing"].includes(state), state);
    strictEqual((await endOf(client, id)).state, "done");
    const losses = async (run: string): Promise<Map<number, number>> =>
      new Map((await client.metrics(run)).metrics.flatMap((row) => (row.kind === "train" ? [[row.step, row.loss]] : [])));
    const [one, other] = [await losses(quiet), await losses(id)];
    strictEqual(other.size, 12);
    // The curve is the same except for rounding: sums are computed in another order.
    for (const [step, loss] of one) ok(Math.abs(loss - (other.get(step) ?? 0)) < 2e-3, `step ${step}: ${loss} and ${other.get(step)}`);
    const report = trainingReport(await client.report(id));
    deepStrictEqual([report.mesh, report.zero, report.workers], ["data=16,model=8", 1, 2]);
  });
});
