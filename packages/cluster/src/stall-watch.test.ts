import { deepStrictEqual } from "node:assert/strict";
import { StallWatch, type Watched } from "./stall-watch.js";

describe("the stall watch of a worker group", () => {
  let tick: () => void;
  let now: number;
  let given: string[];
  const timer = { every: (_: number, call: () => void) => ((tick = call), () => (tick = () => undefined)) };
  const clock = { now: () => now, monotonic: () => now };
  const worker = (name: string): Watched & { pending: number; answers: number; eventLoopTicks: number } => ({
    pending: 1,
    answers: 0,
    eventLoopTicks: 0,
    evict: ({ reason, waited_ms }) => given.push(`${name}: ${reason} ${waited_ms}`),
  });
  const pass = (seconds: number, each: () => void = () => undefined): void => {
    for (let i = 0; i < seconds; i++) {
      now += 1000;
      each();
      tick();
    }
  };
  beforeEach(() => {
    [now, given] = [0, []];
  });

  it("the stall watch evicts a worker whose event loop stopped, and not a worker that waits for it", () => {
    const [a, b] = [worker("a"), worker("b")];
    new StallWatch([a, b], { clock, timer, afterMs: 10_000 });
    pass(10, () => b.eventLoopTicks++);
    deepStrictEqual(given, []);
    pass(2, () => b.eventLoopTicks++);
    deepStrictEqual(given, ["a: no_answer 11000"]);
    pass(100);
    deepStrictEqual(given.length, 1);
  });

  it("the stall watch evicts every worker with a pending message if no worker is known to be unresponsive", () => {
    const [a, b, c] = [worker("a"), worker("b"), { ...worker("c"), pending: 0 }];
    new StallWatch([a, b, c], { clock, timer, afterMs: 10_000 });
    pass(20, () => [a, b, c].forEach((each) => each.eventLoopTicks++));
    deepStrictEqual(given.length, 2);
  });

  it("the stall watch evicts nothing while any worker answers, without pending messages, in long runs, and after its own suspension", () => {
    const a = worker("a");
    const watch = new StallWatch([a], { clock, timer, afterMs: 10_000 });
    pass(100, () => (now % 8000 === 0 ? a.answers++ : undefined));
    a.pending = 0;
    pass(100);
    a.pending = 1;
    watch.ran(1500);
    pass(27);
    now += 3_600_000; // the machine was suspended
    tick();
    deepStrictEqual(given, []);
    pass(4);
    deepStrictEqual(given.length, 1);
  });
});
