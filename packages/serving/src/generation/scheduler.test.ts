import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { getEventListeners } from "node:events";
import type { GenerationRow } from "../engine.js";
import { FakeEngine, type FakeEngineOptions } from "../testing/fake-engine.js";
import { type RowRequest, Scheduler } from "./scheduler.js";

const idle = { waitingRows: 0, runningRows: 0, calls: 0 };

describe("the scheduler", () => {
  let ended: string[] = [];
  beforeEach(() => {
    ended = [];
  });

  const rowOf = (name: string, onToken = (): boolean => true): RowRequest => ({
    prompt: [...Buffer.from(name)],
    sampling: { temperature: 1, top_p: 1, seed: 0 },
    maxTokens: 100,
    onToken,
    onEnd: () => void ended.push(name),
  });
  const rowsOf = (name: string, count: number): RowRequest[] => Array.from({ length: count }, (_, i) => rowOf(`${name}${i}`));
  const open = (options: FakeEngineOptions, maxWaitingRows = 100): { engine: FakeEngine; scheduler: Scheduler } => {
    const engine = new FakeEngine(options);
    return { engine, scheduler: new Scheduler(engine, maxWaitingRows) };
  };
  const never = (): AbortSignal => new AbortController().signal;
  const names = (rows: readonly GenerationRow[]): string => rows.map(({ prompt }) => Buffer.from(prompt).toString()).join(" ");
  /** The scheduler starts its next call in a later turn of the event loop. */
  const settle = async (scheduler: Scheduler): Promise<void> => {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    deepStrictEqual(scheduler.activity, idle);
  };

  it("a request with many rows shares each batch with other requests", async () => {
    const { engine, scheduler } = open({ maxBatchRows: 3 });
    await Promise.all([
      scheduler.run(rowsOf("a", 6), never()),
      scheduler.run(rowsOf("b", 2), never()),
      scheduler.run(rowsOf("c", 1), never()),
    ]);
    deepStrictEqual(engine.calls.map(names), ["a0 b0 c0", "a1 b1 a2", "a3 a4 a5"]);
    await settle(scheduler);
  });

  it("requests take turns if the engine has no batches", async () => {
    const { engine, scheduler } = open({});
    await Promise.all([scheduler.run(rowsOf("a", 3), never()), scheduler.run(rowsOf("b", 2), never())]);
    deepStrictEqual(engine.calls.map(names), ["a0", "b0", "a1", "b1", "a2"]);
    strictEqual(engine.maxRunning, 1);
  });

  it("an engine that interleaves calls has as many calls in flight as it allows", async () => {
    const { engine, scheduler } = open({ maxConcurrentCalls: 3 });
    await Promise.all(["a", "b", "c", "d", "e"].map((name) => scheduler.run(rowsOf(name, 1), never())));
    deepStrictEqual([engine.maxRunning, engine.calls.length], [3, 5]);
    await settle(scheduler);
  });

  it("a row that does not fit in a batch is first in the next one", async () => {
    const isSmall = (rows: readonly GenerationRow[]): boolean => rows.every(({ prompt }) => prompt.length < 3);
    const { engine, scheduler } = open({ maxBatchRows: 2, canBatch: isSmall });
    await Promise.all(["a", "long", "b", "c"].map((name) => scheduler.run([rowOf(name)], never())));
    deepStrictEqual(engine.calls.map(names), ["a b", "long", "c"]);
  });

  it("more waiting rows than the limit are refused, and running rows do not count", async () => {
    const { scheduler } = open({}, 3);
    const first = scheduler.run(rowsOf("a", 2), never());
    await rejects(scheduler.run(rowsOf("b", 2), never()), { code: "LAP_SERVE_BUSY" });
    const second = scheduler.run(rowsOf("c", 1), never());
    await Promise.all([first, second]);
    deepStrictEqual(ended, ["a0", "c0", "a1"]);
    await settle(scheduler);
  });

  it("an abort removes waiting rows, and running rows of the engine see it", async () => {
    const { engine, scheduler } = open({ reply: () => "x".repeat(99) });
    const abort = new AbortController();
    let tokens = 0;
    const running = scheduler.run([rowOf("a", () => (++tokens === 3 && abort.abort(new Error("gone")), true)), rowOf("b")], abort.signal);
    await rejects(running, /gone/);
    strictEqual(tokens, 3);
    strictEqual(scheduler.activity.waitingRows, 0);
    await settle(scheduler);
    deepStrictEqual([engine.aborted, engine.calls.length, ended], [1, 1, []]);
    strictEqual(getEventListeners(abort.signal, "abort").length, 0);
  });

  it("a row that its request stops is aborted, and other rows of the batch continue", async () => {
    const { engine, scheduler } = open({ maxBatchRows: 2 });
    await scheduler.run([rowOf("stops", () => false), rowOf("continues")], never());
    await settle(scheduler);
    deepStrictEqual([ended, engine.aborted], [["continues"], 1]);
  });

  it("a failed call fails the requests of its rows only", async () => {
    const reply = (prompt: string): string => {
      if (prompt === "bad") throw new Error("no memory");
      return "x";
    };
    const { scheduler } = open({ reply });
    const results = await Promise.allSettled(["a", "bad", "b"].map((name) => scheduler.run([rowOf(name)], never())));
    deepStrictEqual(
      results.map(({ status }) => status),
      ["fulfilled", "rejected", "fulfilled"],
    );
    await settle(scheduler);
  });

  it("a row that the engine forgets is a failure", async () => {
    const engine = new FakeEngine();
    engine.generate = () => Promise.resolve();
    await rejects(new Scheduler(engine, 9).run([rowOf("a")], never()), /the engine ends every row/);
  });

  it("an error in the handler of a token fails its request", async () => {
    const { engine, scheduler } = open({});
    const fails = (): boolean => {
      throw new Error("cannot decode");
    };
    await rejects(scheduler.run([rowOf("a", fails)], never()), /cannot decode/);
    await settle(scheduler);
    strictEqual(engine.aborted, 1);
  });

  it("close fails every request and waits for the engine", async () => {
    const { engine, scheduler } = open({ reply: () => "x".repeat(99) });
    const requests = ["a", "b"].map((name) => scheduler.run([rowOf(name)], never()));
    const failures = Promise.allSettled(requests);
    await new Promise((resolve) => setImmediate(resolve));
    await scheduler.close();
    strictEqual(engine.running, 0);
    deepStrictEqual(
      (await failures).map((each) => each.status === "rejected" && (each.reason as { code: string }).code),
      ["LAP_SERVE_STOPPED", "LAP_SERVE_STOPPED"],
    );
    await rejects(scheduler.run([rowOf("c")], never()), { code: "LAP_SERVE_STOPPED" });
    await settle(scheduler);
  });
});
