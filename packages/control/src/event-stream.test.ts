import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { EventStream, type StreamEntry, streamStart } from "./event-stream.js";
import { eventually, TestRedis } from "./testing/redis.js";

interface Step {
  readonly [key: string]: number;
  readonly step: number;
}

describe("event stream", () => {
  const redis = TestRedis.use(process.env);
  const open = async (options = {}): Promise<EventStream<Step>> => new EventStream<Step>(await redis.open(), "metrics:run", options);
  const steps = (entries: readonly StreamEntry<Step>[]): number[] => entries.map(({ value }) => value.step);

  it("an event stream returns appended entries in order, from any id", async () => {
    const stream = await open();
    const ids: string[] = [];
    for (let step = 0; step < 10; step++) ids.push(await stream.append({ step, loss: 1 / 3 }));
    deepStrictEqual(
      await stream.read(),
      ids.map((id, step) => ({ id, value: { step, loss: 1 / 3 } })),
    );
    deepStrictEqual(steps(await stream.read(ids[6])), [7, 8, 9]);
    deepStrictEqual(steps(await stream.read(ids[2], 2)), [3, 4]);
    deepStrictEqual(steps(await stream.last(3)), [7, 8, 9]);
    deepStrictEqual(await stream.read(ids[9]), []);
    await stream.delete();
    deepStrictEqual(await stream.last(3), []);
  });

  it("an event stream keeps approximately the newest `maxLength` entries", async () => {
    const stream = await open({ maxLength: 100 });
    const store = await redis.open();
    await Promise.all(Array.from({ length: 2000 }, (_, step) => stream.append({ step })));
    const length = await store.run((client) => client.xlen(store.key("stream", "metrics:run")));
    ok(length >= 100 && length <= 300, String(length));
    deepStrictEqual(steps(await stream.last(1)), [1999]);
  });

  it("streams of different names do not share entries", async () => {
    const store = await redis.open();
    await new EventStream(store, "events:a").append("a");
    deepStrictEqual(await new EventStream(store, "events:b").read(), []);
  });

  it("follow yields stored entries, then new ones, until its signal aborts", async () => {
    const stream = await open();
    for (let step = 0; step < 3; step++) await stream.append({ step });
    const seen: number[] = [];
    const abort = new AbortController();
    const following = (async () => {
      for await (const { value } of stream.follow(streamStart, abort.signal)) seen.push(value.step);
    })();
    await eventually("the stored entries are received", () => seen.length === 3);
    await stream.append({ step: 3 });
    await eventually("the new entry is received", () => seen.length === 4);
    abort.abort();
    await following;
    deepStrictEqual(seen, [0, 1, 2, 3]);
  });

  it("follow ends immediately when its signal aborts while it waits, or when its reader stops", async () => {
    const stream = await open();
    const abort = new AbortController();
    const next = stream.follow(streamStart, abort.signal).next();
    abort.abort();
    strictEqual((await next).done, true);
    await stream.append({ step: 0 });
    for await (const { value } of stream.follow(streamStart, new AbortController().signal)) {
      strictEqual(value.step, 0);
      break;
    }
  });

  it("follow continues after a restart of the server without lost or repeated entries", async () => {
    const stream = await open();
    const seen: number[] = [];
    const abort = new AbortController();
    const following = (async () => {
      for await (const { value } of stream.follow(streamStart, abort.signal)) seen.push(value.step);
    })();
    await stream.append({ step: 0 });
    await eventually("the first entry is received", () => seen.length === 1);
    await redis.server.stop();
    await redis.start();
    await stream.append({ step: 1 });
    await eventually("the entry after the restart is received", () => seen.length === 2);
    abort.abort();
    await following;
    deepStrictEqual(seen, [0, 1]);
  });

  it("read and follow reject an invalid event id", async () => {
    const stream = await open();
    const badId = (error: unknown): boolean => error instanceof LapidaryError && error.code === "LAP_STREAM_ID";
    await rejects(stream.read("+"), badId);
    await rejects(stream.follow("$; FLUSHALL", new AbortController().signal).next(), badId);
  });
});
