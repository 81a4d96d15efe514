import { deepStrictEqual, notStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nodeDisk } from "./disk.js";
import { RunFence } from "./run-fence.js";
import { temporaryDirectory } from "@lapidary/std/testing";
import { StepLog, stepLogFile, readStepLog } from "./step-log.js";

const outcome = (loss: number): { loss: number; grad_norm: number; learning_rate: number; tokens_counted: number } => ({
  loss,
  grad_norm: 1.5,
  learning_rate: 0.1,
  tokens_counted: 64,
});

describe("the step log", () => {
  const directory = temporaryDirectory();
  const open = (): StepLog => {
    mkdirSync(directory(), { recursive: true });
    return new StepLog(nodeDisk, directory(), RunFence.claim(nodeDisk, directory()));
  };
  const path = (): string => join(directory(), stepLogFile);

  it("the step log has each step once although steps are repeated, and contains them when it is opened again", () => {
    const first = open();
    first.begin(0, "a", undefined, undefined);
    for (let step = 1; step <= 5; step++) strictEqual(first.commit(step, outcome(10 / step)), true);
    const again = open();
    strictEqual(again.last, 5);
    again.begin(2, "a", again.digestAt(2), "worker 1 was killed");
    deepStrictEqual(
      [3, 4, 5, 6].map((step) => again.commit(step, outcome(10 / step))),
      [false, false, false, true],
    );
    deepStrictEqual(
      readStepLog(nodeDisk, directory()).commits.map(({ step }) => step),
      [1, 2, 3, 4, 5, 6],
    );
    strictEqual(readStepLog(nodeDisk, directory()).attempts[1]?.why, "worker 1 was killed");
  });

  it("the step log rejects a repeated step with another result", () => {
    const stepLog = open();
    stepLog.begin(0, "a", undefined, undefined);
    stepLog.commit(1, outcome(3));
    const again = open();
    again.begin(0, "a", undefined, undefined);
    throws(() => again.commit(1, outcome(3 + 2 ** -50)), { code: "LAP_REPLAY_DIFFERS", location: "step 1" });
  });

  it("a digest depends on every step before: one bit of one loss changes all later digests", () => {
    const stepLog = open();
    stepLog.begin(0, "a", undefined, undefined);
    for (const loss of [3, 2, 1]) stepLog.commit(stepLog.last + 1, outcome(loss));
    const digest = stepLog.digestAt(3);
    writeFileSync(path(), "");
    const other = open();
    other.begin(0, "a", undefined, undefined);
    for (const loss of [3 + 2 ** -51, 2, 1]) other.commit(other.last + 1, outcome(loss));
    notStrictEqual(other.digestAt(3), digest);
  });

  it("the step log truncates an incomplete line of a crash at any byte, and keeps every complete line before", () => {
    const stepLog = open();
    stepLog.begin(0, "a", undefined, undefined);
    for (const loss of [3, 2, 1]) stepLog.commit(stepLog.last + 1, outcome(loss));
    const whole = readFileSync(path());
    const ends = [...whole].flatMap((byte, i) => (byte === 10 ? [i + 1] : []));
    for (let cut = 0; cut < whole.length; cut++) {
      writeFileSync(path(), whole.subarray(0, cut));
      const lines = ends.filter((end) => end <= cut).length;
      strictEqual(open().last, Math.max(0, lines - 1));
      strictEqual(readFileSync(path()).length, ends.filter((end) => end <= cut).at(-1) ?? 0);
    }
  });

  it("the step log accepts no line with a changed bit", () => {
    const stepLog = open();
    stepLog.begin(0, "a", undefined, undefined);
    for (const loss of [3, 2, 1]) stepLog.commit(stepLog.last + 1, outcome(loss));
    const whole = readFileSync(path());
    const second = whole.indexOf(10, whole.indexOf(10) + 1) + 1;
    for (let at = second; at < whole.length; at++) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      writeFileSync(path(), bytes);
      ok(open().last < 3);
    }
  });

  it("the step log rewinds steps when another layout computes them, or when a checkpoint has more steps than the log", () => {
    const stepLog = open();
    stepLog.begin(0, "a", undefined, undefined);
    for (const loss of [3, 2, 1]) stepLog.commit(stepLog.last + 1, outcome(loss));
    const other = open();
    strictEqual(other.begin(1, "b", other.digestAt(1), undefined).rewinds, true);
    strictEqual(other.last, 1);
    strictEqual(other.commit(2, outcome(2.001)), true);
    deepStrictEqual(
      readStepLog(nodeDisk, directory()).commits.map(({ loss }) => loss),
      [3, 2.001],
    );
    const later = open();
    later.begin(7, "b", "f".repeat(32), undefined);
    strictEqual(later.last, 7);
    strictEqual(later.commit(8, outcome(1)), true);
    strictEqual(open().last, 8);
  });

  it("the step log renumbers all later batches when one is skipped, also when it is opened later", () => {
    const stepLog = open();
    stepLog.begin(0, "a", undefined, undefined);
    stepLog.commit(1, outcome(3));
    deepStrictEqual([stepLog.skip("no number").skip, stepLog.skip("no number").skip], [1, 2]);
    const again = open();
    again.begin(1, "a", undefined, undefined);
    deepStrictEqual(
      [1, 2, 3].map((step) => again.batchOf(step)),
      [0, 3, 4],
    );
    again.commit(2, outcome(2));
    again.skip("a spike");
    // Another layout begins again after step 0. Batches that were skipped after it can be tried again.
    const other = open();
    strictEqual(other.begin(1, "b", other.digestAt(1), undefined).rewinds, true);
    strictEqual(other.batchOf(2), 1);
  });

  it("the step log rejects an attempt that was superseded", () => {
    const stale = open();
    stale.begin(0, "a", undefined, undefined);
    stale.commit(1, outcome(3));
    const next = open();
    throws(() => stale.commit(2, outcome(2)), { code: "LAP_EPOCH_STALE" });
    throws(() => stale.begin(1, "a", undefined, undefined), { code: "LAP_EPOCH_STALE" });
    next.begin(1, "a", undefined, undefined);
    strictEqual(next.commit(2, outcome(2)), true);
  });

  it("the step log accepts a line of another tool after its own", () => {
    const stepLog = open();
    stepLog.begin(0, "a", undefined, undefined);
    stepLog.commit(1, outcome(3));
    appendFileSync(path(), '{"step":2}\n');
    strictEqual(open().last, 1);
  });
});
