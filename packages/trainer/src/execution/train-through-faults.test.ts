import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { updateCount } from "@lapidary/protocol";
import { type LapidaryError, noFailpoints, systemClock } from "@lapidary/std";
import { nodeDiskWith } from "@lapidary/checkpoint";
import { RunFence } from "@lapidary/checkpoint";
import { stepsIn } from "@lapidary/checkpoint";
import type { RunEvent } from "@lapidary/api/run-events";
import { temporaryDirectory } from "@lapidary/std/testing";
import { Goodput } from "./goodput.js";
import type { StepMetrics } from "./run-programs.js";
import type { TrainOptions, TrainingAttempt } from "./train-options.js";
import { trainThroughFaults } from "./train-through-faults.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Until it is so, and for as long again as anything more would have taken. */
async function settled(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turn();
  for (let i = 0; i < 100; i++) await turn();
}

/** A gate that everything passes, or nothing. */
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

/** A gang whose steps take no time, and whose state is the number of steps. */
class CountingGang implements TrainingAttempt {
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
    restoreCopies: async () => undefined,
    copy: async (step) => ({ step: updateCount(step), bytes: 0, ms: 1 }),
    train: async (step, batch): Promise<StepMetrics> => {
      this.dispatched.push(step + 1);
      this.#state = step + 1;
      return { loss: this.harmful.has(batch) ? Number.NaN : 1, grad_norm: 1, learning_rate: 1, tokens_counted: 1 };
    },
    take: async (step) => {
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

describe("checkpoints beside training", () => {
  const directory = temporaryDirectory();
  const gate = new Gate();
  const events: RunEvent[] = [];
  beforeEach(() => gate.open());

  function options(gang: CountingGang, change: Partial<TrainOptions<CountingGang>> = {}): TrainOptions<CountingGang> {
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
      open: async () => gang,
      steps: 8,
      tokensPerStep: 1,
      keep: 100,
      saves: () => true,
      between: () => undefined,
      finish: async () => undefined,
      clock: systemClock,
      signal: never,
      halt: never,
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

  it("are two on their way at most: training goes on before that, and waits then until the disk has taken one", async () => {
    gate.close();
    const gang = new CountingGang();
    const training = trainThroughFaults(options(gang));
    await settled(() => gang.dispatched.length >= 3);
    // The third step is computed; its state is not taken, for which there is no room.
    deepStrictEqual([gang.dispatched, gang.taken, announced()], [[1, 2, 3], [1, 2], []]);
    gate.open();
    const { step, checkpoint } = await training;
    deepStrictEqual([step, checkpoint.manifest.step, gang.mostOutstanding], [8, 8, 2]);
    deepStrictEqual(written(), [1, 2, 3, 4, 5, 6, 7, 8]);
    deepStrictEqual(announced(), written());
  });

  it("that are due now and then hold nothing up: all steps are dispatched while the disk takes its time", async () => {
    gate.close();
    const gang = new CountingGang();
    const training = trainThroughFaults(options(gang, { saves: (step) => step % 4 === 0 }));
    await settled(() => gang.dispatched.length >= 8);
    deepStrictEqual([gang.dispatched.length, announced()], [8, []]);
    gate.open();
    await training;
    deepStrictEqual(written(), [4, 8]);
  });

  it("are of committed steps alone: what was taken behind a step that is refused is thrown away", async () => {
    const gang = new CountingGang(new Set([4]));
    await trainThroughFaults(options(gang, { guard: { not_finite: "skip", max_skipped: 1 } }));
    // The step that failed was taken, and so were those behind it: none was written before it was computed again.
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
    ok(gang.taken.filter((step) => step === 5).length === 2, gang.taken.join());
  });

  it("hold what was found out behind their step, when something is done before the next", async () => {
    let evaluated = 0;
    const gang = new CountingGang();
    const contents: number[][] = [];
    const take = gang.state.take.bind(gang.state);
    Object.assign(gang.state, {
      take: async (step: number) => {
        const state = await take(step);
        return {
          ...state,
          content: (ledger: string): ReturnType<typeof state.content> => {
            contents.push([step, evaluated]);
            return state.content(ledger);
          },
        };
      },
    });
    await trainThroughFaults(
      options(gang, {
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

  it("are written at the step that training was told to stop behind, and once alone", async () => {
    const halt = new AbortController();
    const gang = new CountingGang();
    const stopped = trainThroughFaults(
      options(gang, {
        halt: halt.signal,
        events: { ...options(gang).events, row: ({ step }) => step === 3 && halt.abort(new Error("enough")) },
      }),
    );
    await stopped.then(
      () => ok(false, "it stops"),
      (error: Error) => strictEqual(error.message, "enough"),
    );
    ok(events.some((event) => event.type === "attempt_ended" && event.reason === "drained"));
    const last = Math.max(...written());
    ok(last >= 3 && last < 8);
    strictEqual(last, Math.max(...gang.taken));
    strictEqual(gang.taken.length, new Set(gang.taken).size);
  });
});
