import { deepStrictEqual, equal, match } from "node:assert/strict";
import type { WorkerStep } from "./frames.js";
import { type AdvisedRun, adviceOf } from "./run-advice.js";
import type { GoodputReport } from "./schemas.js";
import { stragglerOf } from "./straggler.js";

const gib = 2 ** 30;
const timeline = { chip: "v5e", compute: "bf16", total_us: 1000, exposed_us: 300, lanes: [] };
const fitting = { memory: { peak_bytes: 15 * gib, limit_bytes: 16 * gib }, timeline };
const nothingLost = { setup: 0, recover: 0, replay: 0, evaluate: 0, checkpoint: 0, failed: 0, stopped: 0 };

/** The goodput of a run with these losses and 1000 ms of committed steps. */
function goodput(lost: Partial<GoodputReport["lost_ms"]>): GoodputReport {
  const lost_ms = { ...nothingLost, ...lost };
  const wall_ms = 1000 + Object.values(lost_ms).reduce((sum, ms) => sum + ms, 0);
  return { time: 0, ratio: 1000 / wall_ms, committed_ms: 1000, wall_ms, lost_ms, failures: 0, worst_recovery_ms: 0 };
}

const stepOf = (step: number, ...busy: readonly number[]): WorkerStep => ({
  step,
  times: busy.map((ms) => ({ total_ms: 200, gemm_ms: ms, other_ms: 0, wait_ms: 200 - ms })),
});
const steps = (...busy: readonly number[]): WorkerStep[] => [1, 2, 3, 4].map((step) => stepOf(step, ...busy));

const advised = (
  changes: Partial<Omit<AdvisedRun, "summary">> & { readonly summary?: Partial<AdvisedRun["summary"]> } = {},
): AdvisedRun => ({
  program: fitting,
  workerSteps: steps(100, 100),
  ...changes,
  summary: { id: "mine", state: "running", step: 50, steps: 100, ...changes.summary },
});

const shown = (run: AdvisedRun): string[] => adviceOf(run).map(({ kind, problem, command }) => `${kind}: ${problem} → ${command}`);

describe("advice for a run", () => {
  it("a run that fits, is balanced and waits little gets none; limits themselves are not exceeded", () => {
    deepStrictEqual(shown(advised({ summary: { goodput: goodput({ recover: 111 }) } })), []);
    deepStrictEqual(shown(advised({ program: { ...fitting, memory: { peak_bytes: 16 * gib, limit_bytes: 16 * gib } } })), []);
    deepStrictEqual(adviceOf({ summary: { id: "new", state: "queued", step: 0, steps: 10 }, workerSteps: [] }), []);
  });

  it("a step that does not fit into HBM leads to its plan", () => {
    deepStrictEqual(shown(advised({ program: { ...fitting, memory: { peak_bytes: 20 * gib, limit_bytes: 16 * gib } } })), [
      "memory: does not fit: a v5e chip needs 20.0 GiB and has 16.0 GiB → lapidary plan mine",
    ]);
  });

  it("waits for collectives above 30 % of the predicted step lead to a search", () => {
    deepStrictEqual(shown(advised({ program: { ...fitting, timeline: { ...timeline, exposed_us: 310 } } })), [
      "collectives: a v5e chip waits for collectives in 31 % of the predicted step → lapidary plan mine --search",
    ]);
  });

  it("a worker that is busy 10 % longer than the median of the others leads to a trace of its calls", () => {
    deepStrictEqual(shown(advised({ workerSteps: steps(100, 140, 104) })), [
      "straggler: worker 1 is a straggler: busy 140 ms of a step, the others 104 ms → lapidary trace mine -o mine.json",
    ]);
    equal(stragglerOf(steps(100, 109)), undefined);
    equal(stragglerOf(steps(100, 140).slice(0, 2)), undefined);
    equal(stragglerOf(steps(140)), undefined);
  });

  it("goodput below 90 % leads to the command against its largest loss", () => {
    const of = (lost: Partial<GoodputReport["lost_ms"]>, state: "running" | "done" | "failed" = "done"): string =>
      shown(
        advised({
          job: { train: { eval: { every: 10 } }, checkpoint: { every: 5 } },
          summary: { state, step: 100, goodput: goodput(lost) },
        }),
      ).join();
    match(of({ recover: 200, replay: 100 }), /goodput is 77 %: 15 % of the time recovers from failures → lapidary logs mine$/);
    match(of({ stopped: 500 }), /33 % of the time had no coordinator → lapidary up$/);
    match(of({ evaluate: 1000 }), /goodput is 50 %: 50 % of the time evaluates → lapidary launch JOB train\.eval\.every=100$/);
    match(of({ checkpoint: 1000 }, "running"), /→ lapidary jobs cancel mine && lapidary jobs resume mine checkpoint\.every=50$/);
    match(of({ checkpoint: 1000 }, "failed"), /→ lapidary jobs resume mine checkpoint\.every=50$/);
  });

  it("preparation counts as it will at the end of the run, and the advised number of steps brings it to 10 %", () => {
    const at = (step: number, steps: number, setup: number): string[] =>
      shown(advised({ summary: { step, steps, goodput: goodput({ setup }) } }));
    deepStrictEqual(at(10, 1000, 9000), []);
    deepStrictEqual(at(10, 100, 9000), [
      "goodput: goodput will be 53 %: 47 % of the time prepares data, program and workers → lapidary jobs cancel mine && lapidary jobs resume mine train.steps=811",
    ]);
    deepStrictEqual(at(10, 811, 9000), []);
  });

  it("the most severe problem is first", () => {
    const program = { memory: { peak_bytes: 20 * gib, limit_bytes: 16 * gib }, timeline: { ...timeline, exposed_us: 900 } };
    const run = advised({ program, workerSteps: steps(100, 140), summary: { state: "failed", goodput: goodput({ failed: 1000 }) } });
    deepStrictEqual(
      adviceOf(run).map(({ kind }) => kind),
      ["memory", "goodput", "straggler", "collectives"],
    );
  });
});
