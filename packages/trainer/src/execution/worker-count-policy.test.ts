import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { WorkerCountPolicy } from "./worker-count-policy.js";

describe("the worker count policy", () => {
  it("the policy removes one worker after two failed starts in a row, keeps at least one, and is complete again when all start", () => {
    const workerCount = new WorkerCountPolicy(3);
    deepStrictEqual([workerCount.refused(), workerCount.current], [false, 3]);
    workerCount.started();
    deepStrictEqual([workerCount.refused(), workerCount.refused(), workerCount.current, workerCount.missing], [false, true, 2, 1]);
    for (let i = 0; i < 9; i++) workerCount.refused();
    strictEqual(workerCount.current, 1);
    workerCount.complete();
    deepStrictEqual([workerCount.current, workerCount.missing], [3, 0]);
  });
});
