import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { filesOfTrained, trainTokenizer } from "@lapidary/tokenizer";
import { readHfCheckpoint, readSafetensors } from "@lapidary/interop";
import { buildModel } from "@lapidary/models";
import { tinyGemma } from "@lapidary/models/testing";
import { ensure, type Clock, raceAbort } from "@lapidary/std";
import { replicated } from "@lapidary/ir";
import { type ArrayData, handleOf, type TensorSpec } from "@lapidary/protocol";
import type { TrainRow } from "@lapidary/api";
import { temporaryDirectory } from "@lapidary/std/testing";
import { runBoth } from "./abort.js";
import { CheckpointStore, verifyCheckpoint, type VerifiedCheckpoint, nodeDisk, RunFence } from "@lapidary/checkpoint";
import { listCheckpoints, loadWeights } from "./checkpoints.js";
import { checkpointOf, staticFiles, loadState } from "./checkpoint-contents.js";
import { Staging } from "./staging.js";
import type { RunPrograms } from "./run-programs.js";
import { stateFilesOf } from "./state-files.js";
import type { StepMetrics } from "../recipes/recipe.js";
import { trainingLoop, type TrainingLoopOptions } from "./training-loop.js";

/** A clock that the test advances. */
class ManualClock implements Clock {
  #ms = 0;
  now = (): number => this.#ms;
  monotonic = (): number => this.#ms;
  pass(ms: number): void {
    this.#ms += ms;
  }
}

/** Steps that end when the test ends them. */
class Steps {
  readonly dispatched: number[] = [];
  readonly #waiting: ((loss: number) => void)[] = [];
  #wake: () => void = () => undefined;

  train(step: number): Promise<StepMetrics> {
    this.dispatched.push(step);
    const done = new Promise<StepMetrics>((resolve) =>
      this.#waiting.push((loss) => resolve({ loss, grad_norm: 1, learning_rate: 0.1, tokens_counted: 8 })),
    );
    this.#wake();
    return done;
  }

  /** Ends the oldest step, once one is in flight. */
  async end(loss = 1): Promise<void> {
    while (this.#waiting.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    ensure(this.#waiting.shift(), "step")(loss);
    await turn();
  }
}

const momentOf = (name: string): RunPrograms["moments"][number] => ({ name, state: name });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("the training loop", () => {
  const clock = new ManualClock();
  const rows: TrainRow[] = [];
  let steps: Steps;
  const options = (change: Partial<TrainingLoopOptions> = {}): TrainingLoopOptions => ({
    programs: steps,
    steps: 10,
    tokensPerStep: 100,
    signal: new AbortController().signal,
    clock,
    onRow: (row) => rows.push(row),
    between: () => undefined,
    ...change,
  });
  beforeEach(() => {
    steps = new Steps();
    rows.length = 0;
  });

  it("the loop dispatches a few steps before the first result, and one more with each result", async () => {
    const training = trainingLoop(options());
    await turn();
    deepStrictEqual(steps.dispatched, [0, 1, 2, 3]);
    await steps.end();
    deepStrictEqual(steps.dispatched, [0, 1, 2, 3, 4]);
    for (let i = 1; i < 10; i++) await steps.end(i);
    const { loss, tokens } = await training;
    deepStrictEqual([loss, tokens, rows.length], [9, 80, 10]);
    deepStrictEqual(
      rows.map(({ step }) => step),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    );
  });

  it("a sequential step ends before its state is captured and before the next step is dispatched", async () => {
    const captured: [number, number][] = [];
    const training = trainingLoop(
      options({ steps: 3, isSequential: true, dispatched: (step) => captured.push([step, steps.dispatched.length]) }),
    );
    await turn();
    deepStrictEqual([steps.dispatched, captured], [[0], []]);
    for (let i = 0; i < 3; i++) await steps.end();
    await training;
    deepStrictEqual(captured, [
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
  });

  it("the loop has no step in flight while other work runs between two steps", async () => {
    const seen: [number, number][] = [];
    const between = (step: number): (() => Promise<void>) | undefined =>
      step % 3 === 0 ? async (): Promise<void> => void seen.push([step, steps.dispatched.length]) : undefined;
    const training = trainingLoop(options({ steps: 7, between }));
    for (let i = 0; i < 7; i++) await steps.end();
    await training;
    deepStrictEqual(seen, [
      [3, 3],
      [6, 6],
    ]);
  });

  it("the loop reports the time of steps without the time between them", async () => {
    const between = (step: number): (() => Promise<void>) | undefined =>
      step === 2 ? async (): Promise<void> => clock.pass(60_000) : undefined;
    const training = trainingLoop(options({ steps: 4, between }));
    for (let i = 0; i < 4; i++) {
      clock.pass(50);
      await steps.end();
    }
    const { train_ms } = await training;
    deepStrictEqual(
      rows.map(({ step_ms, tokens_per_s, eta_s }) => [step_ms, tokens_per_s, eta_s]),
      [
        [50, 2000, 0.15],
        [50, 2000, 0.1],
        [50, 2000, 0.05],
        [50, 2000, 0],
      ],
    );
    strictEqual(train_ms, 200);
  });

  it("the loop stops at a loss that is not a number, and names the step", async () => {
    const stopped = rejects(trainingLoop(options()), { code: "LAP_LOSS_NOT_FINITE", location: "step 2" });
    await steps.end();
    await steps.end(Number.NaN);
    await stopped;
    strictEqual(rows.length, 1);
  });

  it("the loop stops when the signal aborts, even if no step ends", async () => {
    const stop = new AbortController();
    const training = trainingLoop(options({ signal: stop.signal }));
    await turn();
    stop.abort(new Error("enough"));
    await rejects(training, /enough/);
  });
});

describe("runBoth", () => {
  const never = new AbortController().signal;
  const untilAborted = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted by the signal"))));

  it("runBoth returns both results, or the error of the one that failed after the other has ended", async () => {
    deepStrictEqual(
      await runBoth(
        never,
        async () => 1,
        async () => "a",
      ),
      [1, "a"],
    );
    let ended = false;
    const other = async (signal: AbortSignal): Promise<void> => {
      await untilAborted(signal).catch(() => undefined);
      ended = true;
    };
    await rejects(
      runBoth(never, async () => Promise.reject(new Error("why")), other),
      /why/,
    );
    ok(ended);
  });

  it("runBoth ends with the reason of the signal", async () => {
    const stop = new AbortController();
    const work = runBoth(stop.signal, untilAborted, untilAborted);
    stop.abort(new Error("cancelled"));
    await rejects(work, /cancelled/);
    await rejects(raceAbort(Promise.resolve(1), stop.signal), /cancelled/);
  });
});

describe("checkpoints", () => {
  const directory = temporaryDirectory();
  const config = { ...tinyGemma, vocabSize: 300 };
  const form = { kind: "model", config } as const;
  const specs = buildModel(config).params;
  const tokenizer = trainTokenizer(["some text to learn a few pieces from"], { vocabSize: 300 });
  const valueOf = (name: string): number => name.replace(/^params\//, "").length;
  const arrayOf = (name: string): ArrayData => {
    const { dims } = ensure(
      specs.find((spec) => name.endsWith(spec.name)),
      name,
    );
    return { dtype: "f32", dims, data: new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(valueOf(name)) };
  };
  const weights = specs.map(({ name }) => name);
  const programs = {
    moments: weights.map((name) => momentOf(`adam_m/${name}`)),
    state: (name: string): TensorSpec => {
      const { dims } = arrayOf(name);
      return { id: handleOf(name), dtype: "f32", dims, sharding: replicated(dims.length) };
    },
    fetchState: async ({ id }: TensorSpec): Promise<ArrayData> => arrayOf(id),
    openStagingBuffer: async (): Promise<boolean> => false,
    stage: (): Promise<never> => Promise.reject(new Error("no image is open")),
  };
  const about = { run: "r", time: 1, heldout_loss: 2, mesh: "data=2", zero: 3, workers: 2, program: "p", ledger: "d" };
  const write = async (step: number, keep = 3): Promise<string> => {
    const store = new CheckpointStore({ disk: nodeDisk, directory: directory(), fence: RunFence.claim(nodeDisk, directory()) });
    const { files } = await (await Staging.open(programs, stateFilesOf(form, programs))).capture();
    const written: VerifiedCheckpoint = await store.write(
      checkpointOf(files, staticFiles(form, filesOfTrained(tokenizer), tokenizer.control), { ...about, step }),
      keep,
    );
    return written.path;
  };

  it("a checkpoint loads as the model it was written from, with the state of the optimizer in another file", async () => {
    const path = await write(5);
    const { config: read, tensors } = await readHfCheckpoint(path);
    deepStrictEqual(read, config);
    ok([...tensors].every(([name, { data }]) => data.every((x) => x === valueOf(name))));
    deepStrictEqual(
      [...(await readSafetensors(join(path, "optimizer.safetensors"))).keys()],
      programs.moments.map(({ name }) => name),
    );
    const put = new Map<string, number>();
    await loadWeights(path, config, async (name, { data }) => void put.set(name, data[0] ?? 0));
    deepStrictEqual(
      [...put],
      weights.map((name) => [name, valueOf(name)]),
    );
  });

  it("the store keeps the requested number of newest checkpoints, without unfinished ones", async () => {
    for (const step of [9, 10, 20, 30]) await write(step, 2);
    mkdirSync(join(directory(), "step-99"));
    writeFileSync(join(directory(), "step-99", "model.safetensors"), "half");
    const found = await listCheckpoints(directory());
    deepStrictEqual(
      found.map(({ step, heldout_loss }) => [step, heldout_loss]),
      [
        [20, 2],
        [30, 2],
      ],
    );
    ok(found.every(({ bytes }) => bytes > 1000));
  });

  it("a checkpoint restores the whole state of a run: weights, moments and the count of steps", async () => {
    const path = await write(7);
    const manifest = await verifyCheckpoint(nodeDisk, path);
    const put = new Map<string, number>();
    const { moments } = programs;
    await loadState({ moments, putState: async (name, { data }) => void put.set(name, data[0] ?? 0) }, form, { path, manifest });
    deepStrictEqual(
      [...put],
      [
        ...weights.map((name): [string, number] => [`params/${name}`, valueOf(name)]),
        ...programs.moments.map(({ name }): [string, number] => [name, valueOf(name)]),
        ["step", 7],
      ],
    );
  });

  it("a checkpoint with the state of another optimizer is rejected with the first array that differs", async () => {
    const path = await write(8);
    const manifest = await verifyCheckpoint(nodeDisk, path);
    const load = (moments: RunPrograms["moments"]): Promise<void> =>
      loadState({ moments, putState: async () => undefined }, form, { path, manifest });
    await rejects(load(programs.moments.slice(1)), {
      code: "LAP_CHECKPOINT_STATE",
      message: /the optimizer of the run has no tensor adam_m/,
    });
    await rejects(load([...programs.moments, momentOf("adam_m/more")]), { code: "LAP_CHECKPOINT_STATE", message: /lacks adam_m\/more/ });
  });

  it("a checkpoint of another model is rejected with the difference", async () => {
    const path = await write(1);
    await rejects(
      loadWeights(path, { ...config, heads: 4 }, async () => undefined),
      { code: "LAP_INIT_MISMATCH" },
    );
    await loadWeights(path, { ...config, contextLength: 4 }, async () => undefined);
  });
});
