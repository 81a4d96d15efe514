import assert from "node:assert/strict";
import type { Clock } from "@lapidary/std";
import type { MetricsRow } from "@lapidary/api";
import { Goodput, goodputUntil } from "./goodput.js";

/** A clock that the test advances. */
function stoppedClock(): { readonly clock: Clock; pass(ms: number): void } {
  let now = 1_000_000;
  const clock = { now: () => now, monotonic: () => now - 500 } as Clock;
  return {
    clock,
    pass: (ms) => {
      now += ms;
    },
  };
}

const row = (time: number, step: number, step_ms: number): MetricsRow => ({
  kind: "train",
  time,
  step,
  loss: 1,
  grad_norm: 1,
  learning_rate: 1,
  tokens_per_s: 1,
  step_ms,
  eta_s: 0,
});

describe("goodput", () => {
  it("goodput counts a step as good once it is committed, as repeated if it was before, as lost if it fails", () => {
    const { clock, pass } = stoppedClock();
    const goodput = new Goodput(clock);
    pass(100);
    goodput.enter("step");
    pass(40);
    goodput.step(true);
    pass(7);
    goodput.fail();
    pass(30);
    goodput.enter("step");
    pass(40);
    goodput.step(false);
    pass(43);
    goodput.step(true);
    const { committed_ms, wall_ms, lost_ms, failures, worst_recovery_ms } = goodput.report();
    assert.deepEqual(
      { committed_ms, wall_ms, lost_ms, failures, worst_recovery_ms },
      {
        committed_ms: 83,
        wall_ms: 260,
        lost_ms: { setup: 100, recover: 30, replay: 40, evaluate: 0, checkpoint: 0, failed: 7, stopped: 0 },
        failures: 1,
        worst_recovery_ms: 113,
      },
    );
  });

  it("goodput continues after an earlier coordinator was killed: its steps count, and so does the time without a coordinator", () => {
    const { clock, pass } = stoppedClock();
    const first = new Goodput(clock);
    pass(100);
    first.enter("step");
    pass(50);
    first.step(true);
    const saved = first.report();
    // Two more steps of 60 ms are in the journal. Then the coordinator is killed, and the next one starts 300 ms later.
    const rows = [row(saved.time, 1, 50), row(saved.time + 60, 2, 60), row(saved.time + 120, 3, 60)];
    pass(420);
    const second = new Goodput(clock, goodputUntil(clock.now(), saved, 0, rows));
    pass(30);
    const { committed_ms, wall_ms, lost_ms, ratio } = second.report();
    assert.deepEqual(
      { committed_ms, wall_ms, setup: lost_ms.setup, stopped: lost_ms.stopped },
      { committed_ms: 170, wall_ms: 600, setup: 130, stopped: 300 },
    );
    assert.equal(ratio, 170 / 600);
  });

  it("goodput counts from the start of the run if no report was saved", () => {
    const { clock, pass } = stoppedClock();
    const began = clock.now();
    pass(500);
    const { wall_ms, lost_ms, ratio } = goodputUntil(clock.now(), undefined, began, []);
    assert.deepEqual({ wall_ms, stopped: lost_ms.stopped, ratio }, { wall_ms: 500, stopped: 500, ratio: 0 });
  });
});
