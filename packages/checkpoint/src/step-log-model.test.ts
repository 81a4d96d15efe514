import { deepStrictEqual, notStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { crc32 } from "@lapidary/fabric";
import { jsonText } from "@lapidary/std";
import fc from "fast-check";
import { type Disk, nodeDisk } from "./disk.js";
import type { Fence } from "./run-fence.js";
import { type Attempt, type Commit, firstDigest, readStepLog, type Skip, StepLog, type StepOutcome } from "./step-log.js";

/** A file in memory. */
class MemoryFile {
  text = "";
  syncs = 0;
  readonly disk: Disk = {
    ...nodeDisk,
    readText: () => (this.text === "" ? undefined : this.text),
    append: (_, text) => void (this.text += text),
    truncate: (_, bytes) => void (this.text = Buffer.from(this.text).subarray(0, bytes).toString()),
    syncFile: () => void this.syncs++,
    syncDirectoryNow: () => undefined,
  };
}

/** A result that another layout computes with other last bits. */
const outcome = (step: number, batch: number, layout: string): StepOutcome => ({
  loss: 10 / step + batch,
  grad_norm: step,
  learning_rate: layout === "a" ? 0.1 : 0.2,
  tokens_counted: 64,
});

/** What a step log must contain, restated over plain lists. */
class Model {
  base = { step: 0, digest: firstDigest };
  commits: Commit[] = [];
  skips: Skip[] = [];
  attempts: Attempt[] = [];

  get last(): number {
    return this.base.step + this.commits.length;
  }

  digestAt(step: number): string | undefined {
    return [this.base, ...this.commits].find((one) => one.step === step)?.digest;
  }

  begin(attempt: Omit<Attempt, "digest" | "rewinds">, digest: string | undefined): Attempt {
    const known = this.digestAt(attempt.from);
    const isKnown = known !== undefined && known === (digest ?? known);
    const isAnother = this.attempts.length > 0 && this.attempts.at(-1)?.layout !== attempt.layout;
    const rewinds = !isKnown || (this.last > attempt.from && isAnother);
    const used = digest ?? known ?? firstDigest;
    const made = { ...attempt, digest: used, rewinds };
    this.attempts.push(made);
    if (!rewinds) return made;
    this.skips = this.skips.filter(({ step }) => step <= attempt.from);
    this.commits = known === used ? this.commits.filter(({ step }) => step <= attempt.from) : [];
    if (known !== used) this.base = { step: attempt.from, digest: used };
    return made;
  }

  batchOf(step: number): number {
    let batch = step - 1;
    for (const skip of this.skips) if (skip.step <= step) batch++;
    return batch;
  }
}

const operations = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant({ kind: "commit" as const }) },
    { weight: 1, arbitrary: fc.constant({ kind: "skip" as const }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant("begin" as const),
        from: fc.nat(6),
        layout: fc.constantFrom("a", "a", "a", "b"),
        digest: fc.constantFrom("none", "known", "known", "known", "other"),
        why: fc.constantFrom(undefined, "worker 1 was killed"),
      }),
    },
  ),
  { minLength: 4, maxLength: 30 },
);

describe("the step log, compared with lists", () => {
  it("the open log, the log that is opened again and the reader have the same steps, attempts and skips", () => {
    let [rewound, skipped, repeated] = [0, 0, 0];
    fc.assert(
      fc.property(operations, (list) => {
        const file = new MemoryFile();
        const fence = { epoch: 0, check: () => undefined } satisfies Fence;
        let log = new StepLog(file.disk, "/run", fence);
        const model = new Model();
        let [at, layout] = [-1, "a"];
        for (const operation of list) {
          if (operation.kind === "begin") {
            const { from, why } = operation;
            const known = model.digestAt(from);
            const digest = { none: undefined, known, other: "f".repeat(32) }[operation.digest];
            // A state that the log does not know is the initial state, or comes from a checkpoint, which has a digest.
            if (known === undefined && digest === undefined && from > 0) continue;
            fence.epoch++;
            log = new StepLog(file.disk, "/run", fence);
            ({ layout } = operation);
            const expected = model.begin({ attempt: fence.epoch, from, layout, ...(why === undefined ? {} : { why }) }, digest);
            deepStrictEqual(log.begin(from, layout, digest, why), expected);
            if (expected.rewinds) rewound++;
            at = from;
          } else if (at < 0) continue;
          else if (operation.kind === "skip") {
            if (at !== model.last) continue;
            const expected = { skip: model.batchOf(at + 1), step: at + 1, why: "a spike" };
            deepStrictEqual(log.skip("a spike"), expected);
            model.skips.push(expected);
            skipped++;
          } else {
            at++;
            const known = model.digestAt(at);
            const result = outcome(at, model.batchOf(at), layout);
            // An attempt that continues with the same layout computes the same numbers.
            const { loss, grad_norm = 0, learning_rate = 0 } = result;
            const isSame = known === undefined || model.commits.find(({ step }) => step === at)?.learning_rate === learning_rate;
            if (!isSame) {
              throws(() => log.commit(at, result), { code: "LAP_REPLAY_DIFFERS", location: `step ${at}` });
              at--;
              continue;
            }
            strictEqual(log.commit(at, result), known === undefined);
            if (known !== undefined) repeated++;
            else {
              const digest = log.digestAt(at) ?? "";
              notStrictEqual(digest, model.digestAt(at - 1));
              model.commits.push({ step: at, epoch: fence.epoch, loss, grad_norm, learning_rate, tokens: 64, digest });
            }
          }
          for (const open of [log, new StepLog(file.disk, "/run", fence)]) {
            deepStrictEqual([open.last, open.skips, open.attempts], [model.last, model.skips, model.attempts]);
            for (let step = 0; step <= model.last + 1; step++) {
              deepStrictEqual(
                open.commitOf(step),
                model.commits.find((one) => one.step === step),
              );
              strictEqual(open.digestAt(step), model.digestAt(step));
              strictEqual(open.batchOf(step), model.batchOf(step));
            }
          }
          const read = readStepLog(file.disk, "/run");
          deepStrictEqual([read.skips, read.attempts], [model.skips, model.attempts]);
          deepStrictEqual(read.commits.slice(read.commits.length - model.commits.length), model.commits);
        }
      }),
      { numRuns: 250 },
    );
    ok(Math.min(rewound, skipped, repeated) > 20, `${rewound} rewound, ${skipped} skipped, ${repeated} repeated`);
  });

  const opened = (file = new MemoryFile(), fence: Fence = { epoch: 1, check: () => undefined }): StepLog => {
    const log = new StepLog(file.disk, "/home/runs/mine", fence);
    log.begin(0, "a", undefined, undefined);
    return log;
  };

  it("a step is committed directly after the step before it, and a digest has 32 digits", () => {
    const log = opened();
    throws(() => log.commit(2, outcome(2, 1, "a")), /committed in order/);
    log.commit(1, outcome(1, 0, "a"));
    ok(/^[0-9a-f]{32}$/.test(log.digestAt(1) ?? ""));
    throws(() => log.commit(1, outcome(1, 0, "a")), /committed in order/);
  });

  it("an error names both losses of a step that was computed with another result", () => {
    const file = new MemoryFile();
    opened(file).commit(1, outcome(1, 0, "a"));
    throws(() => opened(file).commit(1, outcome(1, 5, "a")), {
      message: "step 1 was computed again and gave another result: loss 15 instead of 10",
    });
  });

  it("an error of the disk names the file, the cause and the job to resume, in an append and in a sync; another error stays", () => {
    const refused = (): never => {
      throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC", syscall: "write" });
    };
    const withoutCode = (): never => {
      throw Object.assign(new Error("gone"), { syscall: "write" });
    };
    const mistake = new TypeError("a mistake");
    const wrong = (): never => {
      throw mistake;
    };
    for (const call of ["append", "syncFile"] as const) {
      const file = new MemoryFile();
      const log = opened(file);
      const set = (fails: () => never): void => void Object.assign(file.disk, { [call]: fails });
      const work = (): void => {
        log.commit(log.last + 1, outcome(1, 0, "a"));
        log.sync();
      };
      set(refused);
      throws(work, {
        code: "LAP_LEDGER_WRITE",
        message: "the step log cannot be written: ENOSPC",
        location: "/home/runs/mine/ledger.jsonl",
        remedy: "free disk space, or check that the home directory can be written; then `lapidary jobs resume mine`",
      });
    }
    for (const [fails, expected] of [
      [withoutCode, { message: "the step log cannot be written: write" }],
      [wrong, mistake],
    ] as const) {
      const file = new MemoryFile();
      const log = opened(file);
      Object.assign(file.disk, { syncFile: fails });
      throws(() => log.sync(), expected);
    }
  });

  it("a sync covers the file each time", () => {
    const file = new MemoryFile();
    const log = opened(file);
    log.sync();
    log.sync();
    strictEqual(file.syncs, 2);
  });

  it("a line is accepted only as a whole: nothing before its brace, nothing after it, and of a known kind", () => {
    const line = (fields: object): string => {
      const body = jsonText(fields);
      return `${body.slice(0, -1)},"crc":"${crc32(Buffer.from(body)).toString(16).padStart(8, "0")}"}`;
    };
    const skip = line({ skip: 0, step: 1, why: "w" });
    const skipsOf = (text: string): number => {
      const file = new MemoryFile();
      file.text = `${text}\n`;
      return new StepLog(file.disk, "/run", { epoch: 1, check: () => undefined }).skips.length;
    };
    strictEqual(skipsOf(skip), 1);
    for (const bad of [
      ` ${skip}`,
      `${skip} `,
      `x${skip}`,
      line({ skip: 0, step: 1, why: "w", more: 1 }),
      line({ skip: -1, step: 1, why: "w" }),
      "",
    ])
      strictEqual(skipsOf(bad), 0, bad);
  });

  it("a log whose steps have a gap is a broken invariant", () => {
    const file = new MemoryFile();
    const log = opened(file);
    log.commit(1, outcome(1, 0, "a"));
    const [begin, commit] = file.text.split("\n");
    file.text = `${begin}\n${commit}\n${commit}\n`;
    throws(() => new StepLog(file.disk, "/run", { epoch: 1, check: () => undefined }), /each step once/);
  });
});
