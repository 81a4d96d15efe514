import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { ExitCode, type JsonValue, LapidaryError, must } from "@lapidary/std";
import type { Job, JobState } from "./job.js";
import { JobQueue, type JobQueueOptions } from "./job-queue.js";
import { eventually, TestRedis } from "./testing/redis.js";

const code =
  (expected: string) =>
  (error: unknown): boolean =>
    error instanceof LapidaryError && error.code === expected;

/** A pod of 8 chips for jobs whose payload is the number of chips they want, ended by the test. */
class Pod {
  free = 8;
  /** What ran, in the order in which it began; a job that ran twice is here twice. */
  readonly began: string[] = [];
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
    this.began.push(job.id);
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
    must(this.running.get(id), `running job ${id}`).end(result);
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
  /** A queue, and a pod that runs its jobs. */
  const running = async (options: JobQueueOptions = {}): Promise<{ queue: JobQueue; pod: Pod }> => {
    const queue = await open(options);
    const pod = new Pod();
    queue.onJob<number>(pod);
    return { queue, pod };
  };
  const submit = (queue: JobQueue, id: string, chips: JsonValue = 1, priority = 0) =>
    queue.submit({ id, name: `name-${id}`, priority, payload: chips });
  const begun = (pod: Pod, ...ids: string[]) =>
    eventually(`${ids.join(", ")} began`, () => pod.began.length >= ids.length).then(() => deepStrictEqual(pod.began, ids));
  const reaches = (queue: JobQueue, id: string, state: JobState) =>
    eventually(`${id} is ${state}`, async () => (await queue.get(id)).state === state);

  it("runs a job and keeps its result", async () => {
    const { queue, pod } = await running();
    const before = Date.now();
    deepStrictEqual(await submit(queue, "a", 8), { id: "a", created: true });
    await begun(pod, "a");
    strictEqual((await queue.get("a")).state, "running");
    pod.end("a", { loss: 2.5 });
    await reaches(queue, "a", "done");
    await eventually("the end is in Redis", async () => (await queue.get("a")).finishedAt !== undefined);
    const record = await queue.get("a");
    deepStrictEqual(record.result, { loss: 2.5 });
    strictEqual(record.error, undefined);
    const times = [before, record.submittedAt, must(record.startedAt, "start"), must(record.finishedAt, "end"), Date.now()];
    deepStrictEqual(
      times,
      [...times].sort((x, y) => x - y),
    );
  });

  it("keeps why a job failed, across processes", async () => {
    const { queue, pod } = await running();
    await submit(queue, "told");
    await submit(queue, "bug");
    await begun(pod, "told", "bug");
    const reason = new LapidaryError({
      code: "LAP_LOSS_NOT_FINITE",
      message: "the loss is NaN",
      place: "step 3",
      remedy: "lower the learning rate",
    });
    pod.running.get("told")?.fail(reason);
    pod.running.get("bug")?.fail(new TypeError("x is not a function"));
    const elsewhere = await open();
    for (const id of ["told", "bug"]) await reaches(elsewhere, id, "failed");
    deepStrictEqual((await elsewhere.get("told")).error?.toJSON(), reason.toJSON());
    ok(code("LAP_JOB_CRASHED")((await elsewhere.get("bug")).error));
  });

  it("takes the same name with the same payload for the same job, another payload for a mistake", async () => {
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

  it("makes one job of a name that many submit at once", async () => {
    const queue = await open();
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => queue.submit({ id: `try-${i}`, name: "n", payload: 1 })));
    strictEqual(new Set(all.map(({ id }) => id)).size, 1);
    strictEqual((await queue.list()).length, 1);
  });

  it("refuses ids, names and priorities that it could not keep", async () => {
    const queue = await open();
    for (const id of ["", "A", "-a", "a b", "a:b", "../a", "12", "a".repeat(65)])
      await rejects(queue.submit({ id, name: "n", payload: 1 }), code("LAP_JOB_NAME"));
    await rejects(queue.submit({ id: "a", name: "no/slash", payload: 1 }), code("LAP_JOB_NAME"));
    for (const priority of [1001, -1001, 0.5, Number.NaN])
      await rejects(queue.submit({ id: "a", name: "n", priority, payload: 1 }), code("LAP_JOB_PRIORITY"));
    await rejects(queue.get("nobody"), code("LAP_JOB_UNKNOWN"));
    await rejects(queue.cancel("nobody"), code("LAP_JOB_UNKNOWN"));
    await rejects(queue.retry("nobody"), code("LAP_JOB_UNKNOWN"));
  });

  it("runs jobs side by side while they fit; the next waits, in its place, until chips are free", async () => {
    const { queue, pod } = await running();
    for (const id of ["half1", "half2", "half3", "half4"]) await submit(queue, id, 4);
    await begun(pod, "half1", "half2");
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
    await begun(pod, "half1", "half2", "half3");
    deepStrictEqual(
      (await queue.list(["waiting"])).map(({ id, position }) => [id, position]),
      [["half4", 1]],
    );
  });

  it("goes by priority, then by submission, and fills gaps with smaller jobs", async () => {
    const { queue, pod } = await running();
    await submit(queue, "first", 8);
    await begun(pod, "first");
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
      (await queue.list(["waiting"])).sort((x, y) => must(x.position, "place") - must(y.position, "place")).map(({ id }) => id),
      ["urgent", "a", "whole", "b", "low"],
    );
    pod.end("first");
    await begun(pod, "first", "urgent", "a", "low");
  });

  it("lets waiting jobs start when it is told that chips became free", async () => {
    const { queue, pod } = await running();
    pod.free = 0;
    await submit(queue, "a", 8);
    await eventually("it waits", async () => (await queue.get("a")).position === 1);
    pod.free = 8;
    queue.reconsider();
    await begun(pod, "a");
  });

  it("fails a job that never fits, and goes on", async () => {
    const { queue, pod } = await running();
    await submit(queue, "giant", 9);
    await submit(queue, "small", 1);
    await begun(pod, "small");
    await reaches(queue, "giant", "failed");
    strictEqual((await queue.get("giant")).error?.exit, ExitCode.doesNotFit);
  });

  it("cancels a waiting job at once, and a running one when it has ended", async () => {
    const { queue, pod } = await running();
    await submit(queue, "runs", 8);
    await begun(pod, "runs");
    await submit(queue, "waits", 8);
    const cancelled = await queue.cancel("waits");
    strictEqual(cancelled.state, "cancelled");
    strictEqual(cancelled.error?.exit, ExitCode.cancelled);
    const { signal } = must(pod.running.get("runs"), "running job");
    await queue.cancel("runs");
    ok(signal.aborted && code("LAP_JOB_CANCELLED")(signal.reason));
    await reaches(queue, "runs", "cancelled");
    strictEqual((await queue.cancel("runs")).state, "cancelled");
    deepStrictEqual(pod.began, ["runs"]);
    strictEqual(pod.free, 8);
  });

  it("cancels a job that no coordinator has seen yet", async () => {
    const queue = await open();
    await submit(queue, "a");
    await submit(queue, "b");
    strictEqual((await queue.cancel("a")).state, "cancelled");
    deepStrictEqual(
      (await queue.list(["waiting"])).map(({ id }) => id),
      ["b"],
    );
    const { pod } = await running();
    await begun(pod, "b");
    strictEqual((await queue.get("a")).state, "cancelled");
  });

  it("keeps the result of a job that ended before it heard that it was cancelled", async () => {
    const queue = await open();
    let finish: (result: JsonValue) => void = () => undefined;
    queue.onJob({ place: () => true, run: () => new Promise<JsonValue>((resolve) => (finish = resolve)) });
    await submit(queue, "a");
    await reaches(queue, "a", "running");
    await queue.cancel("a");
    finish("made it");
    await reaches(queue, "a", "done");
  });

  it("runs a failed or cancelled job again when asked to, and no other", async () => {
    const { queue, pod } = await running();
    await submit(queue, "a");
    await begun(pod, "a");
    await rejects(queue.retry("a"), code("LAP_JOB_NOT_FAILED"));
    await queue.cancel("a");
    await eventually("the end is in Redis", async () => (await queue.get("a")).finishedAt !== undefined);
    await queue.retry("a");
    await begun(pod, "a", "a");
    pod.end("a");
    await eventually("the end is in Redis", async () => (await queue.get("a")).finishedAt !== undefined);
    strictEqual((await queue.get("a")).state, "done");
    await rejects(queue.retry("a"), code("LAP_JOB_NOT_FAILED"));
  });

  it("gives all jobs back when the coordinator ends, for the next one to run", async () => {
    const { queue, pod } = await running();
    await submit(queue, "runs", 8);
    await begun(pod, "runs");
    await submit(queue, "waits", 8);
    const { signal } = must(pod.running.get("runs"), "running job");
    await eventually("it waits", async () => (await queue.get("waits")).position === 1);
    await queue.close();
    ok(code("LAP_JOB_RELEASED")(signal.reason));
    const next = await running();
    await begun(next.pod, "runs");
    strictEqual((await next.queue.get("waits")).position, 1);
    next.pod.end("runs");
    await begun(next.pod, "runs", "waits");
  });

  it("passes the jobs of a killed coordinator to the next, running and waiting ones, and a cancelled one to none", async () => {
    const queue = await open();
    for (const [id, payload] of [
      ["runs", 1],
      ["waits", "waits"],
      ["unwanted", 2],
    ] as const)
      await submit(queue, id, payload);
    const child = fork(new URL("./testing/coordinator.js", import.meta.url), [redis.server.socket, redis.namespace]);
    const told = new Set<unknown>();
    child.on("message", (id) => told.add(id));
    await eventually("it runs two of them", () => told.has("runs") && told.has("unwanted"));
    await reaches(queue, "runs", "running");
    await queue.cancel("unwanted");
    child.kill("SIGKILL");
    await once(child, "exit");
    const next = await open({ lockMs: 400 });
    const began: string[] = [];
    next.onJob({
      place: () => true,
      run: async (job) => {
        began.push(job.id);
        return null;
      },
    });
    for (const id of ["runs", "waits"]) await reaches(next, id, "done");
    await reaches(next, "unwanted", "cancelled");
    deepStrictEqual(began.sort(), ["runs", "waits"]);
  });

  it("runs a job once though its process was too busy to keep its lock", async () => {
    const trouble: string[] = [];
    const { queue, pod } = await running({ lockMs: 200, onTrouble: (error) => trouble.push(error.message) });
    await submit(queue, "a", 8);
    await begun(pod, "a");
    const other = await open();
    const lock = (await redis.open()).key("jobs", "a", "lock");
    const store = await redis.open();
    // What a busy process does to its lock, made to happen: the lock is gone, and BullMQ delivers the job again.
    await store.run((client) => client.del(lock));
    await eventually("it was delivered again", () => trouble.some((message) => /lock/.test(message)));
    await eventually("the second delivery holds a lock", async () => (await store.run((client) => client.exists(lock))) === 1);
    strictEqual((await other.get("a")).state, "running");
    pod.end("a", 42);
    await eventually("the end is in Redis", async () => (await other.get("a")).finishedAt !== undefined);
    strictEqual((await other.get("a")).result, 42);
    deepStrictEqual(pod.began, ["a"]);
  });

  it("lives through a restart of Redis: what ran runs on, what waited waits, nothing runs twice", async () => {
    const { queue, pod } = await running({ lockMs: 500 });
    await submit(queue, "runs", 8);
    await begun(pod, "runs");
    await submit(queue, "waits", 8);
    await eventually("it waits", async () => (await queue.get("waits")).position === 1);
    await redis.server.stop();
    pod.end("runs", "without Redis");
    await begun(pod, "runs", "waits");
    await redis.start();
    const other = await open();
    await eventually("the end has reached Redis", async () => (await other.get("runs")).finishedAt !== undefined);
    strictEqual((await other.get("runs")).result, "without Redis");
    pod.end("waits");
    await reaches(other, "waits", "done");
    await submit(queue, "late");
    await begun(pod, "runs", "waits", "late");
  });

  it("can be filled again after Redis lost everything, without running twice what runs", async () => {
    const { queue, pod } = await running({ lockMs: 500 });
    await submit(queue, "a", 8);
    await begun(pod, "a");
    await (await redis.open()).run((client) => client.flushall());
    await rejects(queue.get("a"), code("LAP_JOB_UNKNOWN"));
    deepStrictEqual(await submit(queue, "a", 8), { id: "a", created: true });
    await submit(queue, "b", 8);
    await eventually("the one after it waits", async () => (await queue.get("b")).position === 1);
    strictEqual((await queue.get("a")).state, "running");
    pod.end("a", "once");
    await eventually("the end is in Redis", async () => (await queue.get("a")).finishedAt !== undefined);
    strictEqual((await queue.get("a")).result, "once");
    await begun(pod, "a", "b");
  });

  it("fails commands in time, and closes, while Redis is away", async () => {
    const queue = new JobQueue(await redis.open({ timeoutMs: 300 }));
    const pod = new Pod();
    queue.onJob<number>(pod);
    await submit(queue, "a");
    await begun(pod, "a");
    await redis.server.stop();
    await rejects(submit(queue, "b"), code("LAP_REDIS_UNREACHABLE"));
    await rejects(queue.list(), code("LAP_REDIS_UNREACHABLE"));
    await queue.close();
    strictEqual(pod.running.size, 0);
    await redis.start();
  });

  it("takes many jobs at once", async () => {
    const queue = await open();
    let began = 0;
    queue.onJob({
      place: () => true,
      run: async () => {
        began++;
        return null;
      },
    });
    await Promise.all(Array.from({ length: 300 }, (_, i) => submit(queue, `job-${i}`)));
    await eventually("all are done", async () => began === 300 && (await queue.list(["done"])).length === 300);
  });
});
