import assert from "node:assert/strict";
import { flopOf, nameOf, parseMeshText } from "./case.mjs";
import { goals, checkGoal, checkDurability } from "./goals.mjs";
import { median } from "./jax.mjs";

/** A goal with all three parts. @type {import("./goals.mjs").Goal} */
const goal = { case: { model: "m", mesh: [16, 16], batch: 16, numerics: "f32" }, timesJaxMany: 6, ofJaxOne: 0.5, memory: 1 / 3 };

describe("benchmark goals", () => {
  it("a goal is met at its limit and missed beyond it", () => {
    const met = checkGoal(goal, { ratio_jax256: 6, ratio_jax1: 0.5, rss_ours_mb: 100, rss_jax256_mb: 300 });
    assert.deepEqual(
      met.map((verdict) => verdict.met),
      [true, true, true],
    );
    const missed = checkGoal(goal, { ratio_jax256: 5.9, ratio_jax1: 0.51, rss_ours_mb: 101, rss_jax256_mb: 300 });
    assert.deepEqual(
      missed.map((verdict) => verdict.met),
      [false, false, false],
    );
  });

  it("a goal without a measurement gives no result", () => {
    assert.deepEqual(checkGoal(goal, { rss_ours_mb: 100 }), []);
  });

  it("checkpoints and replicas have a goal each as a share of a step", () => {
    const cost = { with_s: 1.05, without_s: 1, wall: 0.05, cpu: 0.05, cpu_ms: 50, stolen_ms: 20 };
    const met = (/** @type {number} */ checkpoints, /** @type {number} */ copies) =>
      checkDurability({ checkpoints: { ...cost, wall: checkpoints, written: 60 }, copies: { ...cost, wall: copies, every: 8 } }).map(
        (verdict) => verdict.met,
      );
    assert.deepEqual(met(0.05, 0.03), [true, true]);
    assert.deepEqual(met(0.051, 0.031), [false, false]);
  });

  it("every goal has its own case", () => {
    assert.equal(new Set(goals.map(({ case: which }) => nameOf(which))).size, goals.length);
  });
});

describe("benchmark cases", () => {
  it("a case counts the operations of micro: 61.2 GFLOP", () => {
    const config = { vocabSize: 2048, modelDim: 256, layers: 4, heads: 16, kvHeads: 16, headDim: 16, mlpDim: 1024 };
    assert.equal((flopOf(/** @type {any} */ ({ model: { config }, train: { batch: 16, seq: 128 } })) / 1e9).toFixed(1), "61.2");
  });

  it("a case rejects a malformed mesh", () => {
    assert.deepEqual(parseMeshText("16x16"), [16, 16]);
    for (const text of ["16", "0x4", "4x4x4", "axb"]) assert.throws(() => parseMeshText(text));
  });

  it("a case takes the median of its repetitions", () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
  });
});
