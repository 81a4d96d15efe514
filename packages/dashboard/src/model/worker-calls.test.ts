import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { callAt, workerCalls } from "./worker-calls.js";

describe("worker calls", () => {
  const call = (kind: "product" | "finish", name: string) => ({ kind, op: "dot_general", name, phase: "forward" }) as const;
  const model = workerCalls({
    step: 3,
    calls: [call("product", "a"), call("finish", "b")],
    workers: [
      { began_ms: 70, calls_us: [0, 100, 0, 150, 400, 300] },
      { began_ms: 70.5, calls_us: [0, 200, 0, 200, 10, 0] },
    ],
  });

  it("the calls of all workers are on one time axis", () => {
    deepStrictEqual(
      model.workers.map((lane) => lane.map(({ from, to, waited }) => [from, to, waited])),
      [
        [
          [0, 100, 0],
          [150, 550, 300],
        ],
        [
          [500, 700, 0],
          [700, 710, 0],
        ],
      ], // prettier-ignore
    );
    strictEqual(model.total_us, 710);
  });

  it("callAt returns the call at a time, or the nearest", () => {
    const [lane = []] = model.workers;
    deepStrictEqual(
      [50, 130, 120, 600, 1e6].map((us) => callAt(lane, us, 60)?.name),
      ["a", "b", "a", "b", undefined],
    ); // prettier-ignore
    strictEqual(callAt([], 0, 1e9), undefined);
  });
});
