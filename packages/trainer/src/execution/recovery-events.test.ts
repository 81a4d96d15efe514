import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import type { RunEvent } from "@lapidary/api/run-events";
import { CheckpointStore, nodeDiskWith, readStepLog, RunFence, type VerifiedCheckpoint } from "@lapidary/checkpoint";
import { updateCount } from "@lapidary/protocol";
import { LapidaryError, noFailpoints } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import type { StepMetrics } from "../recipes/recipe.js";
import { Goodput } from "./goodput.js";
import type { TrainingAttempt, TrainOptions, TrainResult } from "./train-options.js";
import { trainWithRecovery } from "./train-with-recovery.js";

const lost = (message = "worker 1 was killed"): LapidaryError =>
  new LapidaryError({ code: "LAP_WORKER_LOST", message, location: "worker 1", remedy: "none" });
/** Time does not pass, so that a replica is due after every step. */
const clock = { now: () => 1000, monotonic: () => 5 };
const disk = nodeDiskWith(undefined);

/** What a test scripts: the answers of the worker groups. */
interface Script {
  /** The loss of a step, or the error that it fails with. @param attempt from 1 */
  readonly loss: (step: number, attempt: number, batch: number) => number | LapidaryError;
  /** Updates of the replicas that an attempt finds. */
  readonly replica?: (attempt: number, latest: number) => number | undefined;
  readonly layout?: (attempt: number) => string;
}

describe("the events of a run that recovers", () => {
  const directory = temporaryDirectory();
  /** Calls of the worker groups and events of the run, in order. */
  let log: string[] = [];
  let events: RunEvent[] = [];
  beforeEach(() => {
    [log, events] = [[], []];
  });

  function group(attempt: number, script: Script): TrainingAttempt {
    const { promise: failed, resolve: fail } = withResolvers<LapidaryError>();
    return {
      layout: script.layout?.(attempt) ?? "a",
      failed,
      close: async (keepReplicas) => void log.push(`close, ${keepReplicas ? "keep" : "drop"} replicas`),
      state: {
        initialize: async () => void log.push("initialize"),
        load: async ({ manifest }) => void log.push(`load ${manifest.step}`),
        restoreReplicas: async (latest) => {
          log.push(`replicas up to ${latest}`);
          return script.replica?.(attempt, latest);
        },
        replicate: async (step, committed) => {
          log.push(`replicate ${step}, ${committed} committed`);
          return { step: updateCount(step), bytes: 7, ms: 1 };
        },
        train: async (step, batch): Promise<StepMetrics> => {
          log.push(`train ${step + 1} on ${batch}`);
          const loss = script.loss(step + 1, attempt, batch);
          if (typeof loss === "number") return { loss, grad_norm: 1, learning_rate: 1, tokens_counted: 3 };
          fail(loss);
          throw loss;
        },
        capture: async (step) => ({
          content: (ledger) => ({
            about: { run: "r", step, time: 0, mesh: "-", zero: 0, workers: 1, program: "p", ledger },
            files: new Map([["state", [["state", Buffer.from(String(step))]]]]),
          }),
          release: () => void log.push(`release ${step}`),
        }),
      },
    };
  }

  const run = (script: Script, change: Partial<TrainOptions<TrainingAttempt>> = {}): Promise<TrainResult> => {
    const never = new AbortController().signal;
    return trainWithRecovery({
      disk,
      directory: directory(),
      checkpoints: join(directory(), "checkpoints"),
      claim: () => RunFence.claim(disk, directory()),
      open: async (epoch) => group(epoch, script),
      steps: 4,
      isSequential: true,
      tokensPerStep: 3,
      keep: 9,
      saves: () => false,
      between: () => undefined,
      finish: async () => void log.push("finish"),
      clock,
      signal: never,
      drain: never,
      failpoints: noFailpoints,
      goodput: new Goodput(clock),
      events: {
        emit: (event) => {
          events.push(event);
          log.push(event.type);
        },
        row: (row, isNew) => void log.push(`row ${row.step}${isNew ? "" : " again"}`),
        reported: () => Number.POSITIVE_INFINITY,
        sync: () => void log.push("sync"),
        batchName: (batch) => `batch ${batch}`,
      },
      ...change,
    });
  };
  const eventsOf = (...types: RunEvent["type"][]): RunEvent[] => events.filter(({ type }) => types.includes(type));
  const position = (entry: string): number => {
    const at = log.indexOf(entry);
    ok(at >= 0, `${entry} is not in ${log.join("; ")}`);
    return at;
  };
  const inOrder = (...entries: string[]): void => {
    const places = entries.map(position);
    deepStrictEqual(
      places,
      [...places].sort((a, b) => a - b),
      log.join("; "),
    );
  };
  const count = (entry: string): number => log.filter((one) => one === entry).length;

  it("a run without a failure starts from the seed, and has one attempt, the loss and tokens of its steps and one checkpoint", async () => {
    const result = await run({ loss: (step) => 10 - step });
    deepStrictEqual([result.loss, result.tokens, result.step, result.checkpoint.manifest.step], [6, 12, 4, 4]);
    deepStrictEqual(eventsOf("attempt_started", "state_restored", "replica_stored", "attempt_ended", "attempt_failed"), [
      { type: "attempt_started", attempt: 1 },
      { type: "state_restored", attempt: 1, step: 0, source: "initialization", repeated_steps: 0, rewinds: false },
      { type: "replica_stored", step: 0, bytes: 7, interval: 1 },
      { type: "attempt_ended", attempt: 1, step: 4, reason: "finished" },
    ]);
    inOrder(
      "attempt_started",
      "replicas up to 0",
      "initialize",
      "state_restored",
      "replicate 0, 0 committed",
      "train 1 on 0",
      "row 1",
      "train 2 on 1",
    );
    inOrder("row 4", "sync", "checkpoint_written", "release 4", "attempt_ended", "close, drop replicas");
    inOrder("row 4", "finish", "attempt_ended");
    // The last step needs no replica.
    deepStrictEqual(
      [count("replicate 3, 2 committed") + count("replicate 3, 3 committed"), log.some((one) => one.startsWith("replicate 4"))],
      [1, false],
    );
    deepStrictEqual(
      log.filter((one) => one.startsWith("train")),
      ["train 1 on 0", "train 2 on 1", "train 3 on 2", "train 4 on 3"],
    );
  });

  it("a lost worker ends the attempt once, and the next one continues from the replica with the cause", async () => {
    const result = await run({
      loss: (step, attempt) => (step === 3 && attempt === 1 ? lost() : 10 - step),
      replica: (attempt, latest) => (attempt === 1 ? undefined : Math.min(latest, 2)),
    });
    strictEqual(result.loss, 6);
    deepStrictEqual(
      eventsOf("attempt_started", "state_restored", "attempt_ended", "attempt_failed").map((event) =>
        event.type === "attempt_failed" ? { ...event, error: event.error.code } : event,
      ),
      [
        { type: "attempt_started", attempt: 1 },
        { type: "state_restored", attempt: 1, step: 0, source: "initialization", repeated_steps: 0, rewinds: false },
        { type: "attempt_failed", attempt: 1, step: 3, error: "LAP_WORKER_LOST", recoverable: true },
        { type: "attempt_started", attempt: 2 },
        {
          type: "state_restored",
          attempt: 2,
          step: 2,
          source: "replica",
          repeated_steps: 0,
          rewinds: false,
          error_code: "LAP_WORKER_LOST",
        },
        { type: "attempt_ended", attempt: 2, step: 4, reason: "finished" },
      ],
    );
    inOrder("attempt_failed", "close, keep replicas", "replicas up to 2");
    // The state has a replica already.
    strictEqual(log.filter((one) => one.startsWith("replicate 2")).length, 1);
    deepStrictEqual(
      readStepLog(disk, directory()).attempts.map(({ why }) => why),
      [undefined, "worker 1 was killed"],
    );
  });

  it("steps that are repeated are reported as known, and are not in the step log twice", async () => {
    await run({
      loss: (step, attempt) => (step === 4 && attempt === 1 ? lost() : step),
      replica: (attempt) => (attempt === 1 ? undefined : 1),
    });
    deepStrictEqual(eventsOf("state_restored").at(-1), {
      type: "state_restored",
      attempt: 2,
      step: 1,
      source: "replica",
      repeated_steps: 2,
      rewinds: false,
      error_code: "LAP_WORKER_LOST",
    });
    deepStrictEqual(
      log.filter((one) => one.startsWith("row")),
      ["row 1", "row 2", "row 3", "row 2 again", "row 3 again", "row 4"],
    );
    deepStrictEqual(
      readStepLog(disk, directory()).commits.map(({ step }) => step),
      [1, 2, 3, 4],
    );
  });

  it("without a replica, the run continues from the newest checkpoint, and another layout computes the steps after it again", async () => {
    const result = await run(
      {
        loss: (step, attempt) => (step === 4 && attempt === 1 ? lost() : attempt === 1 ? step : step + 0.5),
        layout: (attempt) => String(attempt),
      },
      { saves: (step) => step === 2 },
    );
    deepStrictEqual([result.loss, result.tokens], [4.5, 12]);
    const [, restored] = eventsOf("state_restored");
    deepStrictEqual(restored, {
      type: "state_restored",
      attempt: 2,
      step: 2,
      source: "checkpoint",
      repeated_steps: 1,
      rewinds: true,
      error_code: "LAP_WORKER_LOST",
    });
    log = log.slice(position("attempt_failed"));
    inOrder("replicas up to 3", "checkpoint_verified", "load 2", "state_restored", "replicate 2, 2 committed", "train 3 on 2");
    deepStrictEqual(
      readStepLog(disk, directory()).commits.map(({ loss }) => loss),
      [1, 2, 3.5, 4.5],
    );
  });

  it("a run that ended is restored from its last checkpoint, and trains and writes nothing more", async () => {
    await run({ loss: (step) => step });
    log = [];
    const { checkpoint, loss } = await run({ loss: () => lost("no step runs") });
    deepStrictEqual([checkpoint.manifest.step, loss], [4, 4]);
    deepStrictEqual(
      log.filter((one) => /^(train|replicate|release|checkpoint_written)/.test(one)),
      [],
    );
  });

  it("replicas and checkpoints of steps that no coordinator has reported, or that come after the end, are not used", async () => {
    await run({ loss: (step) => step }, { steps: 6, saves: (step) => step === 2 });
    log = [];
    const never = new AbortController().signal;
    await run(
      { loss: (step) => step },
      { steps: 4, signal: never, events: { ...silent, reported: () => 3, emit: (event) => void log.push(event.type) } },
    );
    inOrder("replicas up to 3", "load 2");
  });

  const silent = {
    emit: () => undefined,
    row: () => undefined,
    reported: () => Number.POSITIVE_INFINITY,
    sync: () => undefined,
    batchName: (batch: number) => `batch ${batch}`,
  };

  it("a checkpoint that is damaged is reported, and the one before it is used", async () => {
    await run({ loss: (step) => step }, { saves: (step) => step === 2 });
    const broken = { ...disk, size: (path: string) => (path.endsWith("step-4/state") ? Promise.resolve(9) : disk.size(path)) };
    log = [];
    await run({ loss: (step) => step }, { disk: broken });
    inOrder("checkpoint_rejected", "checkpoint_verified", "load 2");
    const [rejected] = eventsOf("checkpoint_rejected");
    ok(rejected?.type === "checkpoint_rejected" && rejected.step === 4 && rejected.error.code === "LAP_CHECKPOINT_DAMAGED");
  });

  it("an error that no attempt can cure ends the run: reported once, without replicas", async () => {
    const mistake = new LapidaryError({ code: "LAP_LOSS_NOT_FINITE", message: "the loss is NaN", location: "step 2" });
    await rejects(run({ loss: (step) => (step === 2 ? mistake : step) }), { code: "LAP_LOSS_NOT_FINITE", location: "step 2, batch 1" });
    deepStrictEqual(
      eventsOf("attempt_failed", "attempt_ended", "attempt_started").map((event) => [
        event.type,
        "recoverable" in event && event.recoverable,
      ]),
      [
        ["attempt_started", false],
        ["attempt_failed", false],
      ],
    );
    strictEqual(count("close, drop replicas"), 1);
    strictEqual(count("close, keep replicas"), 0);
  });

  it("an error of the program itself reaches the caller unchanged, and is not an event", async () => {
    const bug = new TypeError("a bug");
    await rejects(
      run({
        loss: () => {
          throw bug;
        },
      }),
      bug,
    );
    deepStrictEqual(eventsOf("attempt_failed"), []);
  });

  it("a batch is skipped if the guard allows it: with an event, under the same group's replicas, up to the maximum", async () => {
    const nan = new LapidaryError({ code: "LAP_LOSS_NOT_FINITE", message: "the loss is NaN", location: "step", remedy: "lower the rate" });
    const script: Script = {
      loss: (step, _, batch) => (batch === 1 || batch === 2 ? nan : step),
      replica: (attempt, latest) => (attempt > 1 ? latest : undefined),
    };
    await run(script, { guard: { not_finite: "skip", max_skipped: 2 } });
    deepStrictEqual(
      eventsOf("batch_skipped", "attempt_ended").map((event) => ({ ...event, ...("error" in event ? { error: "…" } : {}) })),
      [
        { type: "batch_skipped", step: 2, batch: 1, error: "…" },
        { type: "attempt_ended", attempt: 1, step: 1, reason: "batch_skipped" },
        { type: "batch_skipped", step: 2, batch: 2, error: "…" },
        { type: "attempt_ended", attempt: 2, step: 1, reason: "batch_skipped" },
        { type: "attempt_ended", attempt: 3, step: 4, reason: "finished" },
      ],
    );
    deepStrictEqual(eventsOf("attempt_failed"), []);
    deepStrictEqual([count("close, keep replicas"), count("close, drop replicas")], [2, 1]);
    deepStrictEqual(readStepLog(disk, directory()).skips, [
      { skip: 1, step: 2, why: "LAP_LOSS_NOT_FINITE: the loss is NaN" },
      { skip: 2, step: 2, why: "LAP_LOSS_NOT_FINITE: the loss is NaN" },
    ]);
    strictEqual(eventsOf("state_restored").at(-1)?.type, "state_restored");
  });

  it("the batch after the maximum of skipped batches ends the run, and the error names it and the key", async () => {
    const nan = new LapidaryError({ code: "LAP_LOSS_NOT_FINITE", message: "the loss is NaN", location: "step", remedy: "lower the rate" });
    const script: Script = { loss: (step) => (step > 1 ? nan : step) };
    await rejects(run(script, { guard: { not_finite: "skip", max_skipped: 1 } }), {
      message: "the loss is NaN; already skipped 1 batches (train.guard.max_skipped)",
      location: "step 2, batch 2",
      remedy: "lower the rate; or raise train.guard.max_skipped",
    });
    const failed = eventsOf("attempt_failed");
    deepStrictEqual(
      failed.map((event) => event.type === "attempt_failed" && [event.attempt, event.step, event.recoverable]),
      [[2, 2, false]],
    );
    await rejects(run(script, { guard: { not_finite: "stop", max_skipped: 9 } }), { location: "step 2, batch 2" });
  });

  it("a spike is a loss above the factor times the mean of the last twenty steps, and not before there are twenty", async () => {
    const guard = { not_finite: "stop", spike: 3, max_skipped: 5 } as const;
    const lossAt = (spikes: Readonly<Record<number, number>>) => (step: number, _: number, batch: number) =>
      batch === step - 1 ? (spikes[step] ?? 2) : 2;
    await run({ loss: lossAt({ 20: 50, 25: 2 }), replica: (attempt, latest) => (attempt > 1 ? latest : undefined) }, { guard, steps: 22 });
    deepStrictEqual(eventsOf("batch_skipped"), []);
  });

  for (const [loss, isSpike] of [
    [6, false],
    [6.01, true],
  ] as const)
    it(`a loss of ${loss} after twenty losses of 2 is ${isSpike ? "a spike" : "no spike"} for the factor 3`, async () => {
      const guard = { not_finite: "stop", spike: 3, max_skipped: 5 } as const;
      await run(
        {
          loss: (step, _, batch) => (step === 21 && batch === 20 ? loss : 2),
          replica: (attempt, latest) => (attempt > 1 ? latest : undefined),
        },
        { guard, steps: 22 },
      );
      const skipped = eventsOf("batch_skipped").map(
        (event) => event.type === "batch_skipped" && [event.step, event.batch, event.error.message],
      );
      deepStrictEqual(skipped, isSpike ? [[21, 20, "the loss of step 21 is 6.0100, 3.00 times the mean of the steps before"]] : []);
    });

  it("an abort ends the attempt without replicas, and a group that opens later is closed", async () => {
    const abort = new AbortController();
    const { promise, resolve } = withResolvers<TrainingAttempt>();
    const running = run({ loss: (step) => step }, { signal: abort.signal, open: () => promise });
    setImmediate(() => abort.abort(new Error("stop")));
    await rejects(running, { message: "stop" });
    resolve(group(1, { loss: () => 1 }));
    await new Promise((done) => setImmediate(done));
    deepStrictEqual(log, ["attempt_started", "attempt_ended", "close, drop replicas"]);
    deepStrictEqual(eventsOf("attempt_ended"), [{ type: "attempt_ended", attempt: 1, step: 0, reason: "stopped" }]);
    await rejects(run({ loss: (step) => step }, { signal: abort.signal }), { message: "stop" });
    strictEqual(count("attempt_started"), 1);
  });

  it("an abort during a step stops the run, even if a worker is lost at the same time", async () => {
    const abort = new AbortController();
    const script: Script = {
      loss: (step) => {
        if (step < 3) return step;
        abort.abort(new Error("stop"));
        return lost();
      },
    };
    await rejects(run(script, { signal: abort.signal }), { message: "stop" });
    deepStrictEqual(eventsOf("attempt_ended", "attempt_failed"), [{ type: "attempt_ended", attempt: 1, step: 2, reason: "stopped" }]);
    inOrder("close, drop replicas", "attempt_ended");
  });

  it("a drain writes a checkpoint of exactly its step, without the work after the last step", async () => {
    const drain = new AbortController();
    const script: Script = {
      loss: (step) => {
        if (step === 2) drain.abort(new Error("drain"));
        return step;
      },
    };
    await rejects(run(script, { drain: drain.signal }), { message: "drain" });
    const last = eventsOf("attempt_ended");
    deepStrictEqual(last, [{ type: "attempt_ended", attempt: 1, step: 2, reason: "drained" }]);
    deepStrictEqual([count("finish"), count("release 2")], [0, 1]);
  });

  it("the run gets more workers after a checkpoint, if they are wanted and possible", async () => {
    const asked: string[] = [];
    let missing = true;
    const regroups = {
      wanted: () => {
        asked.push("wanted");
        return missing;
      },
      possible: async () => {
        asked.push(`possible after ${count("checkpoint_written")}`);
        if (asked.filter((one) => one.startsWith("possible")).length === 1) return false;
        missing = false;
        return true;
      },
    };
    await run(
      { loss: (step, attempt) => step + attempt / 10, layout: (attempt) => String(attempt) },
      { steps: 8, saves: (step) => step % 2 === 0, regroups },
    );
    deepStrictEqual(
      asked.filter((one) => one.startsWith("possible")),
      ["possible after 1", "possible after 2"],
    );
    deepStrictEqual(
      eventsOf("attempt_ended").map((event) => event.type === "attempt_ended" && [event.step, event.reason]),
      [
        [4, "regrouped"],
        [8, "finished"],
      ],
    );
    deepStrictEqual(eventsOf("attempt_failed"), []);
    const restored = eventsOf("state_restored").at(-1);
    ok(restored?.type === "state_restored" && restored.step === 4 && restored.error_code === undefined);
  });

  it("other work between two steps runs before the checkpoint of its step is written, and before the next step", async () => {
    await run(
      { loss: (step) => step },
      { saves: (step) => step === 2, between: (_, step) => (step === 2 ? async () => void log.push("evaluate") : undefined) },
    );
    inOrder("row 2", "evaluate", "train 3 on 2");
    inOrder("evaluate", "release 2");
  });

  it("work that was due after the step of a replica is done once more: the evaluation and the missing checkpoint", async () => {
    const script: Script = {
      loss: (step, attempt) => (step === 3 && attempt === 1 ? lost() : step),
      replica: (attempt) => (attempt === 1 ? undefined : 2),
    };
    let isFirst = true;
    await run(script, {
      saves: (step) => step === 2,
      between: (_, step) =>
        step === 2
          ? async () => {
              log.push("evaluate");
              if (isFirst) {
                isFirst = false;
                throw lost("killed during the evaluation");
              }
            }
          : undefined,
    });
    strictEqual(count("evaluate"), 2);
    deepStrictEqual(
      eventsOf("checkpoint_written").map((event) => event.type === "checkpoint_written" && event.step),
      [2, 4],
    );
  });

  it("attempts that fail before their step end the run after eight", async () => {
    let opened = 0;
    const failing = async (): Promise<TrainingAttempt> => {
      opened++;
      throw lost("no worker starts");
    };
    await rejects(run({ loss: () => 1 }, { open: failing }), { code: "LAP_RECOVERY_FAILS" });
    deepStrictEqual([opened, eventsOf("attempt_failed").length], [8, 8]);
  });

  for (const isSequential of [true, false])
    it(`a step that fails three times ends the run, ${isSequential ? "in a sequential run" : "also while other steps are in flight"}`, async () => {
      await rejects(run({ loss: (step) => (step === 2 ? lost() : step) }, { isSequential }), {
        code: "LAP_STEP_FAILS",
        location: "step 2, batch 1",
      });
      strictEqual(eventsOf("attempt_failed").length, 3);
    });

  it("an attempt that was superseded says by which attempt", async () => {
    const script: Script = {
      loss: (step) => {
        if (step === 2) RunFence.claim(disk, directory());
        return step;
      },
    };
    await rejects(run(script), { code: "LAP_EPOCH_STALE" });
    deepStrictEqual(eventsOf("superseded"), [{ type: "superseded", attempt: 1, by: 2 }]);
  });

  it("an attempt that was superseded and fails for another reason does not take the run back", async () => {
    const script: Script = {
      loss: (step) => {
        if (step !== 2) return step;
        RunFence.claim(disk, directory());
        return lost();
      },
    };
    await rejects(run(script), { code: "LAP_EPOCH_STALE" });
    deepStrictEqual(eventsOf("superseded", "attempt_started"), [
      { type: "attempt_started", attempt: 1 },
      { type: "superseded", attempt: 1, by: 2 },
    ]);
  });

  it("a last checkpoint that cannot be written ends the run with the error of the disk", async () => {
    const full = { ...disk, create: () => Promise.reject(Object.assign(new Error("ENOSPC"), { code: "ENOSPC", syscall: "open" })) };
    await rejects(run({ loss: (step) => step }, { disk: full }), { code: "LAP_CHECKPOINT_WRITE" });
    deepStrictEqual(
      eventsOf("checkpoint_failed").map((event) => event.type === "checkpoint_failed" && event.step),
      [4],
    );
  });

  it("a run that is resumed for more steps keeps only `keep` checkpoints, and reports those that it deletes", async () => {
    await run({ loss: (step) => step }, { saves: () => true, keep: 2 });
    deepStrictEqual(
      eventsOf("checkpoint_deleted").map((event) => event.type === "checkpoint_deleted" && event.step),
      [1, 2],
    );
    const store = new CheckpointStore({ disk, directory: join(directory(), "checkpoints"), fence: RunFence.claim(disk, directory()) });
    const newest: VerifiedCheckpoint | undefined = await store.newest(() => undefined);
    strictEqual(newest?.manifest.step, 4);
  });
});

function withResolvers<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}
