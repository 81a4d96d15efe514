import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { ExitCode, type JsonValue, LapidaryError, ensure } from "@lapidary/std";
import type { Job, JobState } from "./job.js";
import { JobQueue, type JobQueueOptions } from "./job-queue.js";
import { eventually, TestRedis } from "./testing/redis.js";

const code =
  (expected: string) =>
  (error: unknown): boolean =>
    error instanceof LapidaryError && error.code === expected;

/** A pod of 8 chips for jobs whose payload is the number of chips they need. The test ends the jobs. */
class Pod {
  free = 8;
  /** Ids of the started jobs in the order of their start; a job that ran twice appears twice. */
  readonly started: string[] = [];
  readonly running = new Map<
    string,
    { readonly end: (result: JsonValue) => void; readonly fail: (error: Error) => void; readonly signal: AbortSignal }
  >();

  place(job: Job): number | undefined {
    const chips = Number(job.payload);
    if (chips > 8) throw new LapidaryError({ code: "LAP_SLICE_TOO_LARGE", message: "too large", remedy: "less" });
    if (chips > this.free) return undefined;
    this.free -= chips;
    return chips;
  }

  async run(job: Job, chips: number, signal: AbortSignal): Promise<JsonValue> {
    this.started.push(job.id);
    try {
      return await new Promise<JsonValue>((end, fail) => {
        this.running.set(job.id, { end, fail, signal });
        signal.addEventListener("abort", () => fail(signal.reason as Error));
      });
    } finally {
      this.running.delete(job.id);
      this.free += chips;
    }
  }

  end(id: string, result: JsonValue = "done"): void {
    ensure(this.running.get(id), `running job ${id}`).end(result);
  }
}

describe("job queue", () => {
  const redis = TestRedis.use(process.env);
  const queues: JobQueue[] = [];
  afterEach(async () => {
    await Promise.all(queues.splice(0).map((queue) => queue.close()));
  });
  const open = async (options: JobQueueOptions = {}): Promise<JobQueue> => {
    const queue = new JobQueue(await redis.open(), options);
    queues.push(queue);
    return queue;
  };
  /** A queue and the pod that runs its jobs. */
  const running = async (options: JobQueueOptions = {}): Promise<{ queue: JobQueue; pod: Pod }> => {
    const queue = await open(options);
    const pod = new Pod();
    queue.onJob<number>(pod);
    return { queue, pod };
  };
  const submit = (queue: JobQueue, id: string, chips: JsonValue = 1, priority = 0) =>
    queue.submit({ id, name: `name-${id}`, priority, payload: chips });
  const hasStarted = (pod: Pod, ...ids: string[]) =>
    eventually(`${ids.join(", ")} started`, () => pod.started.length >= ids.length).then(() => deepStrictEqual(pod.started, ids));
  const reaches = (queue: JobQueue, id: string, state: JobState) =>
    eventually(`${id} is ${state}`, async () => (await queue.get(id)).state === state);

  it("the queue runs a job and keeps its result", async () => {
    const { queue, pod } = await running();
    const before = Date.now();
    deepStrictEqual(await submit(queue, "a", 8), { id: "a", created: true });
    await hasStarted(pod, "a");
    strictEqual((await queue.get("a")).state, "running");
    pod.end("a", { loss: 2.5 });
    await reaches(queue, "a", "done");
    await eventually("the end is in Redis", async () => (await queue.get("a")).finishedAt !== undefined);
    const record = await queue.get("a");
    deepStrictEqual(record.result, { loss: 2.5 });
    strictEqual(record.error, undefined);
    const times = [before, record.submittedAt, ensure(record.startedAt, "start"), ensure(record.finishedAt, "end"), Date.now()];
    deepStrictEqual(
      times,
      [...times].sort((x, y) => x - y),
    );
  });

  it("the queue keeps the error of a failed job across processes", async () => {
    const { queue, pod } = await running();
    await submit(queue, "reported");
    await submit(queue, "bug");
    await hasStarted(pod, "reported", "bug");
    const reason = new LapidaryError({
      code: "LAP_LOSS_NOT_FINITE",
      message: "the loss is NaN",
      location: "step 3",
      remedy: "lower the learning rate",
    });
    pod.running.get("reported")?.fail(reason);
    pod.running.get("bug")?.fail(new TypeError("x is not a function"));
    const elsewhere = await open();
    for (const id of ["reported", "bug"]) await reaches(elsewhere, id, "failed");
    deepStrictEqual((await elsewhere.get("reported")).error?.toJSON(), reason.toJSON());
    ok(code("LAP_JOB_CRASHED")((await elsewhere.get("bug")).error));
  });

  it("a name submitted again with the same payload is the same job, with another payload an error", async () => {
    const queue = await open();
    const payload = { model: "nano", steps: [1, 2] };
    deepStrictEqual(await queue.submit({ id: "first", name: "n", payload }), { id: "first", created: true });
    deepStrictEqual(await queue.submit({ id: "second", name: "n", payload: { steps: [1, 2], model: "nano" } }), {
      id: "first",
      created: false,
    });
    deepStrictEqual(await queue.submit({ id: "first", name: "n", payload }), { id: "first", created: false });
    await rejects(queue.submit({ id: "third", name: "n", payload: { ...payload, steps: [1] } }), code("LAP_JOB_NAME_TAKEN"));
    await rejects(queue.submit({ id: "first", name: "other", payload }), code("LAP_JOB_NAME_TAKEN"));
    deepStrictEqual(
      (await queue.list()).map(({ id }) => id),
      ["first"],
    );
    deepStrictEqual(await queue.submit({ id: "fourth", name: "other", payload }), { id: "fourth", created: true });
  });

  it("concurrent submissions of one name create one job", async () => {
    const queue = await open();
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => queue.submit({ id: `try-${i}`, name: "n", payload: 1 })));
    strictEqual(new Set(all.map(({ id }) => id)).size, 1);
    strictEqual((await queue.list()).length, 1);
  });

  it("submit rejects invalid ids, names and priorities, and unknown ids are LAP_JOB_UNKNOWN", async () => {
    const queue = await open();
    for (const id of ["", "A", "-a", "a b", "a:b", "../a", "12", "a".repeat(65)])
      await rejects(queue.submit({ id, name: "n", payload: 1 }), code("LAP_JOB_NAME"));
    await rejects(queue.submit({ id: "a", name: "no/slash", payload: 1 }), code("LAP_JOB_NAME"));
    for (const priority of [1001, -1001, 0.5, Number.NaN])
      await rejects(queue.submit({ id: "a", name: "n", priority, payload: 1 }), code("LAP_JOB_PRIORITY"));
    await rejects(queue.get("missing"), code("LAP_JOB_UNKNOWN"));
    await rejects(queue.cancel("missing"), code("LAP_JOB_UNKNOWN"));
    await rejects(queue.retry("missing"), code("LAP_JOB_UNKNOWN"));
  });

  it("jobs run concurrently while they fit; the next job waits in queue order until chips are free", async () => {
    const { queue, pod } = await running();
    for (const id of ["half1", "half2", "half3", "half4"]) await submit(queue, id, 4);
    await hasStarted(pod, "half1", "half2");
    deepStrictEqual(
      (await queue.list()).map(({ id, state, position }) => [id, state, position]),
      [
        ["half1", "running", undefined],
        ["half2", "running", undefined],
        ["half3", "waiting", 1],
        ["half4", "waiting", 2],
      ],
    );
    strictEqual((await queue.get("half4")).position, 2);
    pod.end("half1");
    await hasStarted(pod, "half1", "half2", "half3");
    deepStrictEqual(
      (await queue.list(["waiting"])).map(({ id, position }) => [id, position]),
      [["half4", 1]],
    );
  });

  it("jobs start by priority, then by submission, and smaller jobs fill gaps", async () => {
    const { queue, pod } = await running();
    await submit(queue, "first", 8);
    await hasStarted(pod, "first");
    for (const [id, chips, priority] of [
      ["low", 2, -5],
      ["a", 4, 0],
      ["whole", 8, 0],
      ["b", 4, 0],
      ["urgent", 2, 10],
    ] as const)
      await submit(queue, id, chips, priority);
    await eventually("all wait", async () => (await queue.list(["waiting"])).length === 5);
    deepStrictEqual(
      (await queue.list(["waiting"])).sort((x, y) => ensure(x.position, "position") - ensure(y.position, "position")).map(({ id }) => id),
      ["urgent", "a", "whole", "b", "low"],
    );
    pod.end("first");
    await hasStarted(pod, "first", "urgent", "a", "low");
  });

  it("reconsider starts waiting jobs after chips became free", async () => {
    const { queue, pod } = await running();
    pod.free = 0;
    await submit(queue, "a", 8);
    await eventually("it waits", async () => (await queue.get("a")).position === 1);
    pod.free = 8;
    queue.reconsider();
    await hasStarted(pod, "a");
  });

  it("a job that never fits fails, and later jobs run", async () => {
    const { queue, pod } = await running();
    await submit(queue, "giant", 9);
    await submit(queue, "small", 1);
    await hasStarted(pod, "small");
    await reaches(queue, "giant", "failed");
    strictEqual((await queue.get("giant")).error?.exit, ExitCode.doesNotFit);
  });

  it("cancel ends a waiting job immediately, and a running job once its run rejects", async () => {
    const { queue, pod } = await running();
    await submit(queue, "runs", 8);
    await hasStarted(pod, "runs");
    await submit(queue, "waits", 8);
    const cancelled = await queue.cancel("waits");
    strictEqual(cancelled.state, "cancelled");
    strictEqual(cancelled.error?.exit, ExitCode.cancelled);
    const { signal } = ensure(pod.running.get("runs"), "running job");
    await queue.cancel("runs");
    ok(signal.aborted && code("LAP_JOB_CANCELLED")(signal.reason));
    await reaches(queue, "runs", "cancelled");
    strictEqual((await queue.cancel("runs")).state, "cancelled");
    deepStrictEqual(pod.started, ["runs"]);
    strictEqual(pod.free, 8);
  });

  it("cancel ends a job that no coordinator has received yet", async () => {
    const queue = await open();
    await submit(queue, "a");
    await submit(queue, "b");
    strictEqual((await queue.cancel("a")).state, "cancelled");
    deepStrictEqual(
      (await queue.list(["waiting"])).map(({ id }) => id),
      ["b"],
    );
    const { pod } = await running();
    await hasStarted(pod, "b");
    strictEqual((await queue.get("a")).state, "cancelled");
  });

  it("a job that finishes despite a cancellation keeps its result", async () => {
    const queue = await open();
    let finish: (result: JsonValue) => void = () => undefined;
    queue.onJob({ place: () => true, run: () => new Promise<JsonValue>((resolve) => (finish = resolve)) });
    await submit(queue, "a");
    await reaches(queue, "a", "running");
    await queue.cancel("a");
    finish("finished");
    await reaches(queue, "a", "done");
  });

  it("retry runs a failed or cancelled job again, and rejects other jobs", async () => {
    const { queue, pod } = await running();
    await submit(queue, "a");
    await hasStarted(pod, "a");
    await rejects(queue.retry("a"), code("LAP_JOB_NOT_FAILED"));
    await queue.cancel("a");
    await eventually("the end is in Redis", async () => (await queue.get("a")).finishedAt !== undefined);
    await queue.retry("a");
    await hasStarted(pod, "a", "a");
    pod.end("a");
    await eventually("the end is in Redis", async () => (await queue.get("a")).finishedAt !== undefined);
    strictEqual((await queue.get("a")).state, "done");
    await rejects(queue.retry("a"), code("LAP_JOB_NOT_FAILED"));
  });

  it("close returns all jobs to the queue, and the next coordinator runs them", async () => {
    const { queue, pod } = await running();
    await submit(queue, "runs", 8);
    await hasStarted(pod, "runs");
    await submit(queue, "waits", 8);
    const { signal } = ensure(pod.running.get("runs"), "running job");
    await eventually("it waits", async () => (await queue.get("waits")).position === 1);
    await queue.close();
    ok(code("LAP_JOB_RELEASED")(signal.reason));
    const next = await running();
    await hasStarted(next.pod, "runs");
    strictEqual((await next.queue.get("waits")).position, 1);
    next.pod.end("runs");
    await hasStarted(next.pod, "runs", "waits");
  });

  it("the next coordinator runs the running and waiting jobs of a killed coordinator, and not the cancelled ones", async () => {
    const queue = await open();
    for (const [id, payload] of [
      ["runs", 1],
      ["waits", "waits"],
      ["unwanted", 2],
    ] as const)
      await submit(queue, id, payload);
    const child = fork(new URL("./testing/coordinator.js", import.meta.url), [redis.server.socket, redis.namespace]);
    const startedIds = new Set<unknown>();
    child.on("message", (id) => startedIds.add(id));
    await eventually("it runs two of them", () => startedIds.has("runs") && startedIds.has("unwanted"));
    await reaches(queue, "runs", "running");
    await queue.cancel("unwanted");
    child.kill("SIGKILL");
    await once(child, "exit");
    const next = await open({ lockMs: 400 });
    const started: string[] = [];
    next.onJob({
      place: () => true,
      run: async (job) => {
        started.push(job.id);
        return null;
      },
    });
    for (const id of ["runs", "waits"]) await reaches(next, id, "done");
    await reaches(next, "unwanted", "cancelled");
    deepStrictEqual(started.sort(), ["runs", "waits"]);
  });

  it("a job whose process was too busy to renew its lock runs once", async () => {
    const errors: string[] = [];
    const { queue, pod } = await running({ lockMs: 200, onError: (error) => errors.push(error.message) });
    await submit(queue, "a", 8);
    await hasStarted(pod, "a");
    const other = await open();
    const lock = (await redis.open()).key("jobs", "a", "lock");
    const store = await redis.open();
    // Delete the lock, as if a busy process had let it expire. BullMQ then delivers the job again.
    await store.run((client) => client.del(lock));
    await eventually("it was delivered again", () => errors.some((message) => /lock/.test(message)));
    await eventually("the second delivery holds a lock", async () => (await store.run((client) => client.exists(lock))) === 1);
    strictEqual((await other.get("a")).state, "running");
    pod.end("a", 42);
    await eventually("the end is in Redis", async () => (await other.get("a")).finishedAt !== undefined);
    strictEqual((await other.get("a")).result, 42);
    deepStrictEqual(pod.started, ["a"]);
  });

  it("after a restart of Redis, running jobs still run, waiting jobs still wait, and no job runs twice", async () => {
    const { queue, pod } = await running({ lockMs: 500 });
    await submit(queue, "runs", 8);
    await hasStarted(pod, "runs");
    await submit(queue, "waits", 8);
    await eventually("it waits", async () => (await queue.get("waits")).position === 1);
    await redis.server.stop();
    pod.end("runs", "without Redis");
    await hasStarted(pod, "runs", "waits");
    await redis.start();
    const other = await open();
    await eventually("the end is in Redis", async () => (await other.get("runs")).finishedAt !== undefined);
    strictEqual((await other.get("runs")).result, "without Redis");
    pod.end("waits");
    await reaches(other, "waits", "done");
    await submit(queue, "late");
    await hasStarted(pod, "runs", "waits", "late");
  });

  it("after Redis lost its data, a running job that is submitted again does not run twice", async () => {
    const { queue, pod } = await running({ lockMs: 500 });
    await submit(queue, "a", 8);
    await hasStarted(pod, "a");
    await (await redis.open()).run((client) => client.flushall());
    await rejects(queue.get("a"), code("LAP_JOB_UNKNOWN"));
    deepStrictEqual(await submit(queue, "a", 8), { id: "a", created: true });
    await submit(queue, "b", 8);
    await eventually("the job after it waits", async () => (await queue.get("b")).position === 1);
    strictEqual((await queue.get("a")).state, "running");
    pod.end("a", "once");
    await eventually("the end is in Redis", async () => (await queue.get("a")).finishedAt !== undefined);
    strictEqual((await queue.get("a")).result, "once");
    await hasStarted(pod, "a", "b");
  });

  it("while Redis is down, commands fail within their timeout and the queue can be closed", async () => {
    const queue = new JobQueue(await redis.open({ timeoutMs: 300 }));
    const pod = new Pod();
    queue.onJob<number>(pod);
    await submit(queue, "a");
    await hasStarted(pod, "a");
    await redis.server.stop();
    await rejects(submit(queue, "b"), code("LAP_REDIS_UNREACHABLE"));
    await rejects(queue.list(), code("LAP_REDIS_UNREACHABLE"));
    await queue.close();
    strictEqual(pod.running.size, 0);
    await redis.start();
  });

  it("the queue runs 300 jobs submitted concurrently", async () => {
    const queue = await open();
    let started = 0;
    queue.onJob({
      place: () => true,
      run: async () => {
        started++;
        return null;
      },
    });
    await Promise.all(Array.from({ length: 300 }, (_, i) => submit(queue, `job-${i}`)));
    await eventually("all are done", async () => started === 300 && (await queue.list(["done"])).length === 300);
  });
});
