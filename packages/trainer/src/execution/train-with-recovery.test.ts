import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { updateCount } from "@lapidary/protocol";
import { type LapidaryError, noFailpoints, systemClock } from "@lapidary/std";
import { nodeDiskWith, RunFence, stepsIn } from "@lapidary/checkpoint";
import type { RunEvent } from "@lapidary/api/run-events";
import { temporaryDirectory } from "@lapidary/std/testing";
import { Goodput } from "./goodput.js";
import type { StepMetrics } from "../recipes/recipe.js";
import type { TrainOptions, TrainingAttempt } from "./train-options.js";
import { trainWithRecovery } from "./train-with-recovery.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Waits until `isSo` holds, and then for a hundred turns in which further steps could run. */
async function settled(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turn();
  for (let i = 0; i < 100; i++) await turn();
}

/** A gate that is open or closed. */
class Gate {
  #open: () => void = () => undefined;
  #passing: Promise<void> = Promise.resolve();
  close(): void {
    this.#passing = new Promise((resolve) => (this.#open = resolve));
  }
  open(): void {
    this.#open();
  }
  pass(): Promise<void> {
    return this.#passing;
  }
}

/** A worker group whose steps take no time, and whose state is the number of steps. */
class CountingGroup implements TrainingAttempt {
  readonly layout = "counting";
  readonly failed = new Promise<LapidaryError>(() => undefined);
  readonly dispatched: number[] = [];
  readonly taken: number[] = [];
  #outstanding = 0;
  mostOutstanding = 0;
  #state = 0;
  constructor(readonly harmful: ReadonlySet<number> = new Set()) {}
  close = (): Promise<void> => Promise.resolve();
  readonly state: TrainingAttempt["state"] = {
    initialize: async () => undefined,
    load: async ({ manifest }) => void (this.#state = manifest.step),
    restoreReplicas: async () => undefined,
    replicate: async (step) => ({ step: updateCount(step), bytes: 0, ms: 1 }),
    train: async (step, batch): Promise<StepMetrics> => {
      this.dispatched.push(step + 1);
      this.#state = step + 1;
      return { loss: this.harmful.has(batch) ? Number.NaN : 1, grad_norm: 1, learning_rate: 1, tokens_counted: 1 };
    },
    capture: async (step) => {
      strictEqual(this.#state, step, "it is taken before the next step is dispatched");
      this.taken.push(step);
      this.mostOutstanding = Math.max(this.mostOutstanding, ++this.#outstanding);
      return {
        content: (ledger) => ({
          about: { run: "r", step, time: 0, mesh: "-", zero: 0, workers: 1, program: "p", ledger },
          files: new Map([["state", [["state", Buffer.from(String(step))]]]]),
        }),
        release: () => void this.#outstanding--,
      };
    },
  };
}

describe("checkpoints during training", () => {
  const directory = temporaryDirectory();
  const gate = new Gate();
  const events: RunEvent[] = [];
  beforeEach(() => gate.open());

  function options(group: CountingGroup, change: Partial<TrainOptions<CountingGroup>> = {}): TrainOptions<CountingGroup> {
    events.length = 0;
    const disk = nodeDiskWith(undefined);
    const never = new AbortController().signal;
    return {
      disk: {
        ...disk,
        create: async (...what) => {
          await gate.pass();
          return disk.create(...what);
        },
      },
      directory: directory(),
      checkpoints: join(directory(), "checkpoints"),
      claim: () => RunFence.claim(disk, directory()),
      open: async () => group,
      steps: 8,
      tokensPerStep: 1,
      keep: 100,
      saves: () => true,
      between: () => undefined,
      finish: async () => undefined,
      clock: systemClock,
      signal: never,
      drain: never,
      failpoints: noFailpoints,
      goodput: new Goodput(systemClock),
      events: {
        emit: (event) => void events.push(event),
        row: () => undefined,
        reported: () => Number.POSITIVE_INFINITY,
        sync: () => undefined,
        batchName: (batch) => `batch ${batch}`,
      },
      ...change,
    };
  }
  const announced = (): number[] => events.flatMap((event) => (event.type === "checkpoint_written" ? [event.step] : []));
  const written = (): number[] => stepsIn(readdirSync(join(directory(), "checkpoints")));

  it("at most two checkpoints are in flight: then training waits until the disk has written one", async () => {
    gate.close();
    const group = new CountingGroup();
    const training = trainWithRecovery(options(group));
    await settled(() => group.dispatched.length >= 3);
    // The third step is computed. Its state is not captured, because two checkpoints are in flight.
    deepStrictEqual([group.dispatched, group.taken, announced()], [[1, 2, 3], [1, 2], []]);
    gate.open();
    const { step, checkpoint } = await training;
    deepStrictEqual([step, checkpoint.manifest.step, group.mostOutstanding], [8, 8, 2]);
    deepStrictEqual(written(), [1, 2, 3, 4, 5, 6, 7, 8]);
    deepStrictEqual(announced(), written());
  });

  it("checkpoints at intervals delay no step: all steps are dispatched while the disk writes", async () => {
    gate.close();
    const group = new CountingGroup();
    const training = trainWithRecovery(options(group, { saves: (step) => step % 4 === 0 }));
    await settled(() => group.dispatched.length >= 8);
    deepStrictEqual([group.dispatched.length, announced()], [8, []]);
    gate.open();
    await training;
    deepStrictEqual(written(), [4, 8]);
  });

  it("checkpoints contain committed steps alone: a state captured after a rejected step is dropped", async () => {
    const group = new CountingGroup(new Set([4]));
    await trainWithRecovery(options(group, { guard: { not_finite: "skip", max_skipped: 1 } }));
    // The state of the rejected step was captured, and so were states after it. None was written before it was computed again.
    deepStrictEqual(
      events.flatMap((event) => (event.type === "batch_skipped" ? [[event.step, event.batch, event.error.code]] : [])),
      [[5, 4, "LAP_LOSS_NOT_FINITE"]],
    );
    deepStrictEqual(
      events.flatMap((event) => (event.type === "attempt_ended" ? [[event.attempt, event.step, event.reason]] : [])),
      [
        [1, 4, "batch_skipped"],
        [2, 8, "finished"],
      ],
    );
    deepStrictEqual(written(), [1, 2, 3, 4, 5, 6, 7, 8]);
    ok(group.taken.filter((step) => step === 5).length === 2, group.taken.join());
  });

  it("a checkpoint contains the evaluation after its step, if one runs before the next step", async () => {
    let evaluated = 0;
    const group = new CountingGroup();
    const contents: number[][] = [];
    const capture = group.state.capture.bind(group.state);
    Object.assign(group.state, {
      capture: async (step: number) => {
        const state = await capture(step);
        return {
          ...state,
          content: (ledger: string): ReturnType<typeof state.content> => {
            contents.push([step, evaluated]);
            return state.content(ledger);
          },
        };
      },
    });
    await trainWithRecovery(
      options(group, {
        steps: 4,
        between: (_attempt, step) =>
          step !== 2
            ? undefined
            : async () => {
                for (let i = 0; i < 20; i++) await turn();
                evaluated = step;
              },
      }),
    );
    deepStrictEqual(contents, [
      [1, 0],
      [2, 2],
      [3, 2],
      [4, 2],
    ]);
  });

  it("one checkpoint is written at the step after which training drains", async () => {
    const drain = new AbortController();
    const group = new CountingGroup();
    const stopped = trainWithRecovery(
      options(group, {
        drain: drain.signal,
        events: { ...options(group).events, row: ({ step }) => step === 3 && drain.abort(new Error("enough")) },
      }),
    );
    await stopped.then(
      () => ok(false, "it stops"),
      (error: Error) => strictEqual(error.message, "enough"),
    );
    ok(events.some((event) => event.type === "attempt_ended" && event.reason === "drained"));
    const last = Math.max(...written());
    ok(last >= 3 && last < 8);
    strictEqual(last, Math.max(...group.taken));
    strictEqual(group.taken.length, new Set(group.taken).size);
  });
});
