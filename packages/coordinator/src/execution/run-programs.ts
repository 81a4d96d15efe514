import { assert, must } from "@lapidary/std";
import { paramName, trainMetrics } from "@lapidary/training";
import type { ArrayData, CallName, FeedPort, ImagePlace } from "@lapidary/worker/protocol";
import type { BoundProgram, CopyReport, ProgramPort, RunReport, SnapshotReport } from "../gang/index.js";
import type { ProgramName, ProgramSet, RunState } from "../programs/build.js";
import { NextToken } from "./next-token.js";
import type { RunGang } from "./run-gang.js";

/** Where batches come from, and their shape. */
export interface BatchSource {
  /** Of the dataset. */
  readonly directory: string;
  readonly seed: number;
  readonly batch: number;
  readonly seq: number;
}

export type StepMetrics = Readonly<Record<(typeof trainMetrics)[number], number>>;

/** The batch arrays that a step reads. */
const batchArrays: readonly FeedPort["array"][] = ["tokens", "targets", "mask"];

/** Where an array of the batch goes. */
type BatchPort = Parameters<RunGang["feed"]>[1][number];

/** The same name inside and outside of a program. */
const called = (names: Iterable<string>): Map<string, string> => new Map([...names].map((name) => [name, name]));

/**
 * The programs of a run over one set of values on its gang. A value is called like the parameter that it is given for: the state carries the same
 * names from step to step, as each step consumes the state it was given and leaves the next one under them.
 *
 * Methods send at once and in order, and settle when it is done: whoever does not wait dispatches ahead.
 */
export class RunPrograms {
  readonly #gang: RunGang;
  /** The train step is loaded from the beginning, the others when they are first wanted: who takes up a run that failed can train at once. */
  readonly #programs: ProgramSet["programs"];
  readonly #state: readonly RunState[];
  readonly #states: readonly string[];
  readonly #trainBound: BoundProgram;
  readonly #trainFed: readonly BatchPort[];
  readonly #source: BatchSource;
  readonly #onTrained: (report: RunReport) => void;

  private constructor(
    gang: RunGang,
    { programs, states }: Pick<ProgramSet, "programs" | "states">,
    source: BatchSource,
    onTrained: (report: RunReport) => void,
  ) {
    this.#gang = gang;
    this.#onTrained = onTrained;
    this.#programs = programs;
    this.#state = states;
    this.#states = states.map(({ name }) => name);
    this.#source = source;
    const inputs = [...this.#states, ...batchArrays];
    this.#trainBound = gang.bind(this.#train, {
      inputs: called(inputs),
      outputs: called(this.#states),
      donate: inputs,
      told: trainMetrics,
    });
    this.#trainFed = this.#batchPorts(this.#train);
  }

  /** Loads the train step into the workers. `onTrained` hears where the workers' time went in each step. */
  static async load(
    gang: RunGang,
    set: Pick<ProgramSet, "programs" | "states">,
    source: BatchSource,
    onTrained: (report: RunReport) => void = () => undefined,
  ): Promise<RunPrograms> {
    await gang.loadText(set.programs.train_step);
    return new RunPrograms(gang, set, source, onTrained);
  }

  get #train(): string {
    return this.#programs.train_step.hash;
  }

  /** The model's weights, by Hugging Face name. */
  get weights(): string[] {
    return this.#state.flatMap(({ role, weight }) => (role === "param" && weight !== undefined ? [weight] : []));
  }

  /** What the optimizer keeps for each of them. */
  get moments(): string[] {
    return this.#state.flatMap(({ name, role }) => (role === "optimizer" ? [name] : []));
  }

  /** Draws the first state. */
  async initialize(): Promise<void> {
    const hash = await this.#load("init");
    await this.#gang.run(this.#gang.bind(hash, { inputs: new Map(), outputs: called(this.#states) }), { step: 0 });
  }

  /** Every array that a run carries from step to step: weights, moments, the count of steps. */
  get states(): readonly string[] {
    return this.#states;
  }

  /** Replaces an array of the state. */
  async putState(name: string, array: ArrayData): Promise<void> {
    await this.#gang.put(name, array, this.#parameter(this.#train, name).sharding);
  }

  fetchState(name: string): Promise<ArrayData> {
    return this.#gang.fetch(name);
  }

  /** Of an array of the state, whole. */
  dimsOf(name: string): readonly number[] {
    return this.#parameter(this.#train, name).type.dims;
  }

  /** Lets the workers open an image; whether they can lay the state in it. */
  openImage(path: string, bytes: number, places: readonly ImagePlace[]): Promise<boolean> {
    return this.#gang.openImage(path, bytes, places);
  }

  /** Lays the state in an image, as it is behind what was sent so far. */
  snapshot(path: string): Promise<SnapshotReport> {
    return this.#gang.snapshot(path);
  }

  /** Copies the state in the workers' memory, as it is behind update `step`. */
  copy(step: number, committed: number): Promise<CopyReport> {
    return this.#gang.copy(step, this.#states, committed);
  }

  /** Brings the state back from the workers' memory: the newest up to update `latest`. Undefined if no whole copy is left. */
  restoreCopies(latest: number): Promise<number | undefined> {
    return this.#gang.restoreCopies(
      latest,
      this.#states.map((name) => this.#parameter(this.#train, name)),
    );
  }

  /** Replaces a weight. */
  async putWeight(name: string, array: ArrayData): Promise<void> {
    const { sharding } = this.#parameter(this.#train, paramName(name));
    await this.#gang.put(paramName(name), array, sharding);
  }

  /** What a train step calls on each worker, in order. */
  describe(): Promise<readonly CallName[]> {
    return this.#gang.describe(this.#train);
  }

  /** Optimizer step number `step`, from 0, on batch number `batch`. With `trace` the workers tell every call of it. */
  async train(step: number, batch = step, trace = false): Promise<StepMetrics> {
    const fed = this.#feed(this.#trainFed, "train", batch);
    const ran = this.#gang.run(this.#trainBound, { step, update: true, trace });
    const [, report] = await Promise.all([fed, ran]);
    this.#onTrained(report);
    return numbersNamed(trainMetrics, report);
  }

  /** Mean loss over the first `batches` held-out batches, of the targets that count. */
  async evaluate(batches: number): Promise<{ loss: number; tokens: number }> {
    assert(batches > 0, "an evaluation has batches", batches);
    const hash = await this.#load("eval_step");
    const told = ["loss_sum", "tokens_counted"] as const;
    const into = this.#batchPorts(hash);
    const inputs = called([...this.weights.map(paramName), ...batchArrays]);
    const bound = this.#gang.bind(hash, { inputs, outputs: new Map(), donate: batchArrays, told });
    const parts = Array.from({ length: batches }, async (_, step) => {
      const fed = this.#feed(into, "heldout", step);
      const [, report] = await Promise.all([fed, this.#gang.run(bound, { step })]);
      return numbersNamed(told, report);
    });
    const sums = await Promise.all(parts);
    const tokens = sums.reduce((total, sum) => total + sum.tokens_counted, 0);
    return { loss: sums.reduce((total, sum) => total + sum.loss_sum, 0) / tokens, tokens };
  }

  /** To generate text with the weights as they are. */
  async nextToken(): Promise<NextToken> {
    return new NextToken(this.#gang, await this.#load("next_token"));
  }

  #load(name: ProgramName): Promise<string> {
    return this.#gang.loadText(this.#programs[name]);
  }

  #parameter(hash: string, name: string): ProgramPort {
    return must(
      this.#gang.parameters(hash).find((port) => port.name === name),
      `parameter ${name}`,
    );
  }

  #batchPorts(program: string): BatchPort[] {
    return batchArrays.map((array) => ({ array, value: array, sharding: this.#parameter(program, array).sharding }));
  }

  #feed(into: readonly BatchPort[], split: "train" | "heldout", step: number): Promise<void> {
    return this.#gang.feed({ ...this.#source, split, step }, into);
  }
}

/** What a run told, under the names that it was asked for. */
const numbersNamed = <N extends string>(names: readonly N[], { told }: RunReport): Record<N, number> =>
  Object.fromEntries(names.map((name) => [name, must(told.get(name), name)])) as Record<N, number>;
