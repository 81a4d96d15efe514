import assert from "node:assert/strict";
import { bytesOfStep, judge } from "./verdict.mjs";

/**
 * Samples of a run in which nothing grows but what `change` says.
 * @param {(part: number) => Partial<import("./verdict.mjs").Sample>} [change] `part`: of the run, from 0 to 1
 * @returns {import("./verdict.mjs").Sample[]}
 */
const samplesWith = (change = () => ({})) =>
  Array.from({ length: 20 }, (_, i) => ({
    at_s: i,
    step: 100 * i,
    step_ms: 10,
    cpu_ms: 20,
    processes: { coordinator: { rss_mb: 200, descriptors: 30 } },
    files: 50,
    disk_mb: i / 10,
    redis_mb: 3,
    buckets: 2000,
    history_mb: 1,
    ...change(i / 19),
  }));

/** @param {(part: number) => Partial<import("./verdict.mjs").Sample>} [change] */
const missed = (change) =>
  judge(samplesWith(change), 2048)
    .filter(({ met }) => !met)
    .map(({ what }) => what);

describe("the verdict of a soak", () => {
  it("a run in which nothing grows meets every limit", () => {
    assert.deepEqual(missed(), []);
    assert.equal(judge(samplesWith(), 2048).length, 7);
  });

  it("every growth is named", () => {
    assert.deepEqual(
      missed((part) => ({ step_ms: 10 + part })),
      ["step time (ms)"],
    );
    assert.deepEqual(
      missed((part) => ({ cpu_ms: 20 + 2 * part })),
      ["processor time of a step (ms)"],
    );
    const grown = (/** @type {number} */ rss_mb, /** @type {number} */ descriptors) => ({
      processes: { coordinator: { rss_mb, descriptors } },
    });
    assert.deepEqual(
      missed((part) => grown(200 + 40 * part, 30)),
      ["memory of coordinator (MB)"],
    );
    assert.deepEqual(
      missed((part) => grown(200, 30 + 20 * part)),
      ["descriptors of coordinator"],
    );
    assert.deepEqual(
      missed((part) => ({ files: 50 + 20 * part })),
      ["files"],
    );
    assert.deepEqual(
      missed((part) => ({ redis_mb: 3 + 10 * part })),
      ["event stream in Redis (MB)"],
    );
    assert.deepEqual(
      missed(() => ({ buckets: 2049 })),
      ["buckets of the dashboard history"],
    );
  });

  it("the warm-up does not count", () => {
    assert.deepEqual(
      missed((part) => (part < 0.08 ? { step_ms: 1 } : {})),
      [],
    );
  });

  it("a replaced process and a short run give no verdict", () => {
    assert.throws(() => missed((part) => (part < 0.5 ? { processes: {} } : {})), /coordinator did not run/);
    assert.throws(() => judge(samplesWith().slice(0, 5), 2048), /needs 10 samples/);
  });

  it("journals grow by 1,000 bytes for a step", () => {
    assert.ok(Math.abs(bytesOfStep(samplesWith()) - 1000) < 1e-6);
  });
});
