import assert from "node:assert/strict";
import { chipsOf, flopOf, nameOf, parseMeshText } from "./case.mjs";
import { chipLimit, goals, checkChips, checkGoal, checkDurability } from "./goals.mjs";
import { median } from "../median.mjs";

/** A goal with all parts. @type {import("./goals.mjs").Goal} */
const goal = {
  case: { model: "m", mesh: [16, 16], batch: 16, numerics: "f32" },
  ofTorch: 0.75,
  ofPeak: 0.85,
  timesJaxMany: 6,
  ofJaxOne: 0.5,
  memory: 1 / 3,
};

describe("benchmark goals", () => {
  it("a goal is met at its limit and missed beyond it", () => {
    const met = checkGoal(goal, {
      ratio_torch: 0.75,
      share_of_peak: 0.85,
      ratio_jax256: 6,
      ratio_jax1: 0.5,
      rss_ours_mb: 100,
      rss_jax256_mb: 300,
    });
    assert.deepEqual(
      met.map((verdict) => verdict.met),
      [true, true, true, true, true],
    );
    const missed = checkGoal(goal, {
      ratio_torch: 0.76,
      share_of_peak: 0.84,
      ratio_jax256: 5.9,
      ratio_jax1: 0.51,
      rss_ours_mb: 101,
      rss_jax256_mb: 300,
    });
    assert.deepEqual(
      missed.map((verdict) => verdict.met),
      [false, false, false, false, false],
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

  it("4096 chips are compared with 256 chips in step time, processor time and memory", () => {
    const row = (/** @type {number} */ chips, /** @type {number} */ factor) => ({
      model: "m",
      chips,
      ofFirst: factor,
      cpuOfFirst: factor,
      memoryOfFirst: factor,
    });
    const met = (/** @type {number} */ factor) => checkChips([row(256, 1), row(4096, factor), row(16384, 9)]).map((verdict) => verdict.met);
    assert.deepEqual(met(chipLimit), [true, true, true]);
    assert.deepEqual(met(chipLimit + 0.01), [false, false, false]);
    assert.deepEqual(checkChips([]), []);
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
    assert.deepEqual(parseMeshText("16x8x4"), [16, 8, 4]);
    assert.equal(chipsOf([16, 8, 4]), 512);
    for (const text of ["16", "0x4", "4x4x4x4", "axb", "4x"]) assert.throws(() => parseMeshText(text));
  });

  it("a case takes the median of its repetitions", () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
  });
});
