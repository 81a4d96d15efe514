import { deepStrictEqual } from "node:assert/strict";
import { stepIndex, type RunReport } from "@lapidary/protocol";
import { Stragglers } from "./stragglers.js";

const report = (...own_ms: number[]): Pick<RunReport, "workers"> => ({
  workers: own_ms.map((ms) => ({
    step: stepIndex(0),
    kernelCalls: 0,
    total_ms: Math.max(...own_ms),
    gemm_ms: 0,
    otherKernels_ms: 0,
    fused_ms: 0,
    fabricWait_ms: Math.max(...own_ms) - ms,
  })),
});

describe("stragglers", () => {
  it("a straggler is found once within five steps, by its compute time and not by its wait time", () => {
    const stragglers = new Stragglers();
    const found = Array.from({ length: 8 }, () => stragglers.step(report(100, 100, 250, 110)).map(({ worker }) => worker));
    deepStrictEqual(found, [[], [], [], [], [2], [], [], []]);
    deepStrictEqual(new Stragglers().step(report(900)), []);
  });

  it("a worker that is slow in single steps is not a straggler, and neither are all workers if all are slow", () => {
    const stragglers = new Stragglers();
    for (let i = 0; i < 40; i++) deepStrictEqual(stragglers.step(i % 4 === 3 ? report(100, 120) : report(100, 400)), []);
    for (let i = 0; i < 10; i++) deepStrictEqual(stragglers.step(report(900, 900, 905)), []);
  });
});
