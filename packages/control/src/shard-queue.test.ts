import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { type JsonValue, LapidaryError } from "@lapidary/std";
import { ShardQueue, type ShardJobState } from "./shard-queue.js";
import { ShardWorker } from "./shard-worker.js";
import { eventually, TestRedis } from "./testing/redis.js";

describe("the queue of shards", function () {
  this.timeout(30_000);
  const redis = TestRedis.use(process.env);
  const errors: Error[] = [];
  const onError = (error: Error): void => void errors.push(error);
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  async function openQueue(): Promise<ShardQueue> {
    const queue = new ShardQueue(await redis.open(), { onError });
    closing.push(() => queue.close());
    return queue;
  }
  async function openWorker(run: (id: string, payload: JsonValue, slot: number) => Promise<JsonValue>, capacity = 1): Promise<ShardWorker> {
    const worker = new ShardWorker(await redis.open(), { capacity, run, lockMs: 400, onError });
    closing.push(() => worker.close());
    return worker;
  }
  const ended = async (queue: ShardQueue, id: string): Promise<ShardJobState> => {
    let state = await queue.stateOf(id);
    await eventually(`the end of ${id}`, async () => ["done", "failed"].includes((state = await queue.stateOf(id)).kind));
    return state;
  };

  it("a job is computed once however often it is added, and again if it is added after its end", async () => {
    const queue = await openQueue();
    const ran: string[] = [];
    deepStrictEqual(await queue.stateOf("a"), { kind: "absent" });
    for (let i = 0; i < 3; i++) await queue.add({ id: "a", payload: { n: 1 } });
    deepStrictEqual(await queue.stateOf("a"), { kind: "pending" });
    await openWorker(async (id, payload) => {
      ran.push(id);
      return { payload };
    });
    deepStrictEqual(await ended(queue, "a"), { kind: "done", result: { payload: { n: 1 } } });
    strictEqual(ran.length, 1);
    await queue.add({ id: "a", payload: { n: 2 } });
    await eventually("the second run", () => ran.length === 2);
    deepStrictEqual(await ended(queue, "a"), { kind: "done", result: { payload: { n: 2 } } });
  });

  it("a failure that may pass is tried three times, and a mistake once; both keep their typed error", async () => {
    const queue = await openQueue();
    const tries = new Map<string, number>();
    await openWorker(async (id) => {
      tries.set(id, (tries.get(id) ?? 0) + 1);
      const code = id === "disk" ? "LAP_FILE_MISSING" : "LAP_DATA_RULE";
      throw new LapidaryError({ code, message: "no", location: id, remedy: "none" });
    }, 2);
    for (const id of ["disk", "rule"]) await queue.add({ id, payload: null });
    for (const [id, code] of [
      ["disk", "LAP_FILE_MISSING"],
      ["rule", "LAP_DATA_RULE"],
    ] as const) {
      const state = await ended(queue, id);
      ok(state.kind === "failed" && state.error.code === code && state.error.location === id);
    }
    deepStrictEqual(Object.fromEntries(tries), { disk: 3, rule: 1 });
  });

  it("calls with one slot do not overlap, and all slots are used", async () => {
    const queue = await openQueue();
    const active = new Set<number>();
    const used = new Set<number>();
    await openWorker(async (_, __, slot) => {
      ok(!active.has(slot));
      active.add(slot);
      used.add(slot);
      await eventually("all slots are used", () => used.size === 3);
      active.delete(slot);
      return null;
    }, 3);
    const ids = Array.from({ length: 9 }, (_, i) => `job-${i}`);
    for (const id of ids) await queue.add({ id, payload: null });
    for (const id of ids) strictEqual((await ended(queue, id)).kind, "done");
    deepStrictEqual([...used].sort(), [0, 1, 2]);
  });

  it("another worker gets the job of one that is gone, and the capacity follows the workers", async () => {
    const queue = await openQueue();
    strictEqual(await queue.capacity(), 0);
    const began: string[] = [];
    const gone = await openWorker(async () => {
      began.push("gone");
      return new Promise<JsonValue>(() => undefined);
    }, 2);
    await eventually("the first worker announces itself", async () => (await queue.capacity()) === 2);
    await queue.add({ id: "a", payload: null });
    await eventually("the first worker has the job", () => began.length === 1);
    await gone.close();
    await openWorker(async () => "second");
    deepStrictEqual(await ended(queue, "a"), { kind: "done", result: "second" });
    await eventually("only the second worker counts", async () => (await queue.capacity()) === 1);
  });

  it("a Redis that lost its data has no job, and the job can be added again", async () => {
    const queue = await openQueue();
    await queue.add({ id: "a", payload: 1 });
    await (await redis.open()).run((connection) => connection.flushall());
    deepStrictEqual(await queue.stateOf("a"), { kind: "absent" });
    await queue.add({ id: "a", payload: 2 });
    await openWorker(async (_, payload) => payload);
    deepStrictEqual(await ended(queue, "a"), { kind: "done", result: 2 });
  });
});
