import { assert, ensure } from "@lapidary/std";
import { paramName, trainMetrics } from "@lapidary/training";
import {
  type ArrayData,
  type CallName,
  type FeedPort,
  type Handle,
  type ProgramHash,
  type StagedTensor,
  type TensorSpec,
  handleOf,
  stepIndex,
  updateCount,
  type RunReport,
} from "@lapidary/protocol";
import type { BoundProgram, ReplicationReport, StagingReport } from "@lapidary/cluster";
import type { ProgramName, ProgramSet, RunState } from "../programs/build.js";
import { NextToken } from "./next-token.js";
import type { RunWorkerGroup } from "./run-worker-group.js";

/** The source of batches, and their shape. */
export interface BatchSource {
  /** Directory of the dataset. */
  readonly directory: string;
  readonly seed: number;
  readonly batch: number;
  readonly seq: number;
}

export type StepMetrics = Readonly<Record<(typeof trainMetrics)[number], number>>;

/** The batch arrays that a step reads. */
const batchArrays: readonly FeedPort["array"][] = ["tokens", "targets", "mask"];
const batchIds: readonly Handle[] = batchArrays.map(handleOf);

/** A handle has the same name inside and outside of a program. */
const called = (ids: Iterable<Handle>): Map<string, Handle> => new Map([...ids].map((id) => [id, id]));

/**
 * The programs of a run with one set of arrays on its worker group. An array has the name of its parameter. The state keeps its names from step to
 * step, because each step consumes the arrays of the state and creates the next state under the same names.
 *
 * Methods send immediately and in order, and settle when the work is done. A caller that does not wait dispatches ahead.
 */
export class RunPrograms {
  readonly #group: RunWorkerGroup;
  /** The train step is loaded at the start. Other programs are loaded at their first use, so that a resumed run can train at once. */
  readonly #programs: ProgramSet["programs"];
  readonly #state: readonly RunState[];
  /** The arrays of `#state`, in its order. */
  readonly #states: readonly TensorSpec[];
  readonly #trainBound: BoundProgram;
  readonly #trainFed: readonly FeedPort[];
  readonly #source: BatchSource;
  readonly #onTrained: (report: RunReport) => void;

  private constructor(
    group: RunWorkerGroup,
    { programs, states }: Pick<ProgramSet, "programs" | "states">,
    source: BatchSource,
    onTrained: (report: RunReport) => void,
  ) {
    this.#group = group;
    this.#onTrained = onTrained;
    this.#programs = programs;
    this.#state = states;
    this.#states = states.map(({ name }) =>
      ensure(
        programs.train_step.parameters.find(({ id }) => id === name),
        `parameter ${name}`,
      ),
    );
    this.#source = source;
    const inputs = [...this.#stateIds, ...batchIds];
    this.#trainBound = group.bind(this.#train, {
      inputs: called(inputs),
      outputs: called(this.#stateIds),
      donate: inputs,
      scalars: trainMetrics,
    });
    this.#trainFed = this.#batchPorts(this.#train);
  }

  /** Loads the train step into the workers. `onTrained` receives the report of each step. */
  static async load(
    group: RunWorkerGroup,
    set: Pick<ProgramSet, "programs" | "states">,
    source: BatchSource,
    onTrained: (report: RunReport) => void = () => undefined,
  ): Promise<RunPrograms> {
    await group.loadText(set.programs.train_step);
    return new RunPrograms(group, set, source, onTrained);
  }

  get #train(): ProgramHash {
    return this.#programs.train_step.hash;
  }

  get #stateIds(): Handle[] {
    return this.#states.map(({ id }) => id);
  }

  /** The model's weights, by Hugging Face name. */
  get weights(): string[] {
    return this.#state.flatMap(({ role, weight }) => (role === "param" && weight !== undefined ? [weight] : []));
  }

  /** The arrays that the optimizer keeps for the weights. */
  get moments(): string[] {
    return this.#state.flatMap(({ name, role }) => (role === "optimizer" ? [name] : []));
  }

  /** Initializes the state. */
  async initialize(): Promise<void> {
    const hash = await this.#load("init");
    await this.#group.run(this.#group.bind(hash, { inputs: new Map(), outputs: called(this.#stateIds) }), { step: stepIndex(0) });
  }

  /** An array of the state: a weight, a moment, or the count of steps. */
  state(name: string): TensorSpec {
    return ensure(
      this.#states.find(({ id }) => id === name),
      `state ${name}`,
    );
  }

  /** Replaces an array of the state. */
  async putState(name: string, array: ArrayData): Promise<void> {
    await this.#group.put(this.state(name), array);
  }

  fetchState({ id }: TensorSpec): Promise<ArrayData> {
    return this.#group.fetch(id);
  }

  /** Lets the workers open a staging buffer. @returns whether all of them can write the state there */
  openStagingBuffer(path: string, bytes: number, tensors: readonly StagedTensor[]): Promise<boolean> {
    return this.#group.openStagingBuffer(path, bytes, tensors);
  }

  /** Writes the state, as it is after all requests so far, to a staging buffer. */
  stage(path: string): Promise<StagingReport> {
    return this.#group.stage(path);
  }

  /** Replicates the state, as it is after update `step`, in the memory of the workers. */
  replicate(step: number, committed: number): Promise<ReplicationReport> {
    return this.#group.replicate(updateCount(step), this.#stateIds, updateCount(committed));
  }

  /** Restores the state from replicas: the newest up to update `latest`. Undefined if a block has no replica. */
  restoreReplicas(latest: number): Promise<number | undefined> {
    return this.#group.restoreReplicas(updateCount(latest), this.#states);
  }

  /** Replaces a weight. */
  async putWeight(name: string, array: ArrayData): Promise<void> {
    await this.#group.put(this.state(paramName(name)), array);
  }

  /** The calls of a train step on each worker, in order. */
  describe(): Promise<readonly CallName[]> {
    return this.#group.describe(this.#train);
  }

  /** Optimizer step number `step`, from 0, on batch number `batch`. With `trace` the workers report every call. */
  async train(step: number, batch = step, trace = false): Promise<StepMetrics> {
    const fed = this.#feed(this.#trainFed, "train", batch);
    const ran = this.#group.run(this.#trainBound, { step: stepIndex(step), update: true, trace });
    const [, report] = await Promise.all([fed, ran]);
    this.#onTrained(report);
    return scalarsOf(trainMetrics, report);
  }

  /** Mean loss over the first `batches` held-out batches, of the targets that count. */
  async evaluate(batches: number): Promise<{ loss: number; tokens: number }> {
    assert(batches > 0, "an evaluation has batches", batches);
    const hash = await this.#load("eval_step");
    const scalars = ["loss_sum", "tokens_counted"] as const;
    const into = this.#batchPorts(hash);
    const inputs = called([...this.#states.flatMap(({ id, role }) => (role === "param" ? [id] : [])), ...batchIds]);
    const bound = this.#group.bind(hash, { inputs, outputs: new Map(), donate: batchIds, scalars });
    const parts = Array.from({ length: batches }, async (_, step) => {
      const fed = this.#feed(into, "heldout", step);
      const [, report] = await Promise.all([fed, this.#group.run(bound, { step: stepIndex(step) })]);
      return scalarsOf(scalars, report);
    });
    const sums = await Promise.all(parts);
    const tokens = sums.reduce((total, sum) => total + sum.tokens_counted, 0);
    return { loss: sums.reduce((total, sum) => total + sum.loss_sum, 0) / tokens, tokens };
  }

  /** Generates text with the current weights. */
  async nextToken(): Promise<NextToken> {
    return new NextToken(this.#group, await this.#load("next_token"));
  }

  #load(name: ProgramName): Promise<ProgramHash> {
    return this.#group.loadText(this.#programs[name]);
  }

  #batchPorts(program: ProgramHash): FeedPort[] {
    const parameters = this.#group.parameters(program);
    return batchArrays.map((array) => ({
      array,
      tensor: ensure(
        parameters.find(({ id }) => id === array),
        `parameter ${array}`,
      ),
    }));
  }

  #feed(into: readonly FeedPort[], split: "train" | "heldout", step: number): Promise<void> {
    return this.#group.feed({ ...this.#source, split, step }, into);
  }
}

/** The scalar outputs of a run, by name. */
const scalarsOf = <N extends string>(names: readonly N[], { scalars }: RunReport): Record<N, number> =>
  Object.fromEntries(names.map((name) => [name, ensure(scalars.get(name), name)])) as Record<N, number>;
