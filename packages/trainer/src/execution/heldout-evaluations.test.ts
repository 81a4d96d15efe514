import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { EpochStaleError, type Fence } from "@lapidary/checkpoint";
import { HeldoutEvaluations, type HeldoutEvaluationsOptions } from "./heldout-evaluations.js";

const fence: Fence = { epoch: 1, check: () => undefined };
const stale: Fence = {
  epoch: 1,
  check: () => {
    throw new EpochStaleError("epochs", 1, 2);
  },
};

describe("the evaluations of a run", () => {
  const log: string[] = [];
  beforeEach(() => (log.length = 0));
  const open = (change: Partial<HeldoutEvaluationsOptions<string>> = {}): HeldoutEvaluations<string> =>
    new HeldoutEvaluations({
      steps: 6,
      every: 2,
      reported: [],
      evaluate: async (programs) => {
        log.push(`evaluate ${programs}`);
        return { loss: 1, tokens: 1 };
      },
      report: (step) => void log.push(`report ${step}`),
      ...change,
    });

  it("an evaluation is due after every so many steps and after the last", () => {
    const due = (every: number | undefined): number[] =>
      [1, 2, 3, 4, 5, 6].filter((step) => open({ every }).after("p", step, fence) !== undefined);
    deepStrictEqual([due(2), due(4), due(undefined)], [[2, 4, 6], [4, 6], [6]]);
  });

  it("the evaluation of a step that is repeated is reported once", async () => {
    const evaluations = open();
    await evaluations.after("p", 2, fence)?.();
    deepStrictEqual(log, ["evaluate p", "report 2"]);
    strictEqual(evaluations.after("p", 2, fence), undefined);
  });

  it("an evaluation that an earlier coordinator reported is computed after the last step alone, and not reported again", async () => {
    const evaluations = open({ reported: [2, 6] });
    strictEqual(evaluations.after("p", 2, fence), undefined);
    await evaluations.atEnd("p", fence);
    deepStrictEqual([log, evaluations.of(6)?.loss], [["evaluate p"], 1]);
  });

  it("the last state is evaluated once", async () => {
    const evaluations = open();
    await evaluations.after("p", 6, fence)?.();
    await evaluations.atEnd("p", fence);
    deepStrictEqual(log, ["evaluate p", "report 6"]);
    strictEqual(evaluations.of(2), undefined);
  });

  it("an attempt that was superseded reports no evaluation", async () => {
    await rejects(open().atEnd("p", stale), { code: "LAP_EPOCH_STALE" });
    deepStrictEqual(log, ["evaluate p"]);
  });
});
