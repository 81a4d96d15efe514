import { ensure } from "@lapidary/std";
import { paramName, statesOfLayers } from "@lapidary/training";
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
import type { ProgramText, ReplicationReport, StagingReport } from "@lapidary/cluster";
import type { ProgramSet, RunState } from "../programs/build.js";
import type { Evaluation, LoadedProgram, ProgramUse, Recipe, RecipeRun, RecipeSteps, StepMetrics } from "../recipes/recipe.js";
import type { FileTensor } from "./checkpoint-form.js";
import { NextToken } from "./next-token.js";
import type { RunWorkerGroup } from "./run-worker-group.js";

/** The arrays that an optimizer keeps for the weights. A stack over stages is stored as the arrays of its layers. */
export const momentsOf = (states: readonly RunState[]): FileTensor[] =>
  states.flatMap((state) => {
    const { name, role } = state;
    if (role !== "optimizer") return [];
    const parts = statesOfLayers(state);
    return [{ name, state: name, ...(parts === undefined ? {} : { parts }) }];
  });

/** The source of batches, and their shape. */
export interface BatchSource {
  /** Directory of the dataset. */
  readonly directory: string;
  readonly seed: number;
  readonly batch: number;
  readonly seq: number;
}

/** What runs the programs: the recipe of a job, or the steps of an exported program. */
export interface RunSteps extends Pick<Recipe, "stepProgram" | "batchArrays"> {
  open(run: RecipeRun): Promise<RecipeSteps>;
  /** Receives the report of each update. */
  readonly onTrained?: (report: RunReport) => void;
}

/** The programs of a run, as far as its steps need them. */
type RunProgramSet = Pick<ProgramSet, "programs" | "states" | "frozen" | "hasController">;

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
  readonly #recipe: RunSteps;
  /** The step program is loaded at the start. Other programs are loaded at their first use, so that a resumed run can train at once. */
  readonly #programs: ProgramSet["programs"];
  readonly #state: readonly RunState[];
  /** The arrays of `#state`, in its order. */
  readonly #states: readonly TensorSpec[];
  readonly #frozen: readonly RunState[];
  readonly #source: BatchSource | undefined;
  readonly #onTrained: (report: RunReport) => void;
  #steps: RecipeSteps | undefined;

  private constructor(
    group: RunWorkerGroup,
    { programs, states, frozen = [] }: RunProgramSet,
    recipe: RunSteps,
    source: BatchSource | undefined,
  ) {
    this.#group = group;
    this.#recipe = recipe;
    this.#onTrained = recipe.onTrained ?? ((): void => undefined);
    this.#programs = programs;
    this.#state = states;
    this.#frozen = frozen;
    this.#states = states.map(({ name }) => this.#parameter(name));
    this.#source = source;
  }

  /** Loads the programs of a step into the workers. */
  static async load(group: RunWorkerGroup, set: RunProgramSet, recipe: RunSteps, source: BatchSource | undefined): Promise<RunPrograms> {
    const programs = new RunPrograms(group, set, recipe, source);
    const run: RecipeRun = {
      states: set.states.map(({ name }) => name),
      programs: Object.keys(set.programs),
      hasController: set.hasController === true,
      tensors: (name) => programs.#program(name),
      host: { group, load: (name) => programs.#load(ensure(name.split(" ")[0], name)), onUpdate: programs.#onTrained },
      load: (name, use) => programs.#loadFor(name, use),
      fetch: (name) => group.fetch(handleOf(name)),
      drop: (names) => group.drop(names.map(handleOf)),
    };
    programs.#steps = await recipe.open(run);
    return programs;
  }

  get #stateIds(): Handle[] {
    return this.#states.map(({ id }) => id);
  }

  /** The model's weights, by Hugging Face name. */
  get weights(): string[] {
    return this.#state.flatMap(({ role, weight }) => (role === "param" && weight !== undefined ? [weight] : []));
  }

  /** The arrays that the optimizer keeps for the weights, as a file has them. */
  get moments(): FileTensor[] {
    return momentsOf(this.#state);
  }

  /** Initializes the state. */
  async initialize(): Promise<void> {
    const hash = await this.#load("init");
    await this.#group.run(this.#group.bind(hash, { inputs: new Map(), outputs: called(this.#stateIds) }), { step: stepIndex(0) });
  }

  /** Completes the states of step 0 as the recipe wants, once the weights are loaded. */
  async completeStates(): Promise<void> {
    await this.#steps?.initialize?.();
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

  /** The names of the weights that no step changes. */
  get frozen(): string[] {
    return this.#frozen.map(({ name, weight = name }) => weight);
  }

  /** Stores a weight that no step changes. */
  async putFrozen(name: string, array: ArrayData): Promise<void> {
    await this.#group.put(this.#parameter(paramName(name)), array);
  }

  /** The calls of the step program on each worker, in order. */
  describe(): Promise<readonly CallName[]> {
    return this.#group.describe(this.#program(this.#recipe.stepProgram).hash);
  }

  /** Optimizer step number `step`, from 0, on batch number `batch`. With `trace` the workers report every call. */
  train(step: number, batch = step, trace = false): Promise<StepMetrics> {
    return ensure(this.#steps, "steps of the recipe").step(step, batch, trace);
  }

  /** Mean loss over the first `batches` held-out batches, of the targets that count. */
  evaluate(batches: number): Promise<Evaluation> {
    return ensure(this.#steps, "steps of the recipe").evaluate(batches);
  }

  /** Ends the threads of the recipe. */
  async close(): Promise<void> {
    await this.#steps?.close?.();
  }

  /** Generates text with the current weights. */
  async nextToken(): Promise<NextToken> {
    return new NextToken(this.#group, await this.#load("next_token"));
  }

  #load(name: string): Promise<ProgramHash> {
    return this.#group.loadText(this.#program(name));
  }

  #program(name: string): ProgramText {
    return ensure(this.#programs[name], `program ${name}`);
  }

  /** A parameter of the step program. */
  #parameter(name: string): TensorSpec {
    return ensure(
      this.#program(this.#recipe.stepProgram).parameters.find(({ id }) => id === name),
      `parameter ${name}`,
    );
  }

  /** Loads a program of the recipe, and binds it to the arrays of the run. */
  async #loadFor(name: string, { consumes, creates, scalars }: ProgramUse): Promise<LoadedProgram> {
    const group = this.#group;
    const hash = await this.#load(name);
    const parameters = group.parameters(hash);
    const bound = group.bind(hash, {
      inputs: called(parameters.map(({ id }) => id)),
      outputs: called(creates.map(handleOf)),
      donate: consumes.map(handleOf),
      scalars,
    });
    const into = this.#recipe.batchArrays.flatMap((array): FeedPort[] => {
      const tensor = parameters.find(({ id }) => id === array);
      return tensor === undefined ? [] : [{ array, tensor }];
    });
    return {
      put: (name, array) =>
        group.put(
          ensure(
            parameters.find(({ id }) => id === name),
            `parameter ${name}`,
          ),
          array,
        ),
      feed: (split, batch) => group.feed({ ...ensure(this.#source, "source of batches"), split, step: batch }, into),
      run: async ({ step, update = false, trace = false }) => {
        const report = await group.run(bound, { step: stepIndex(step), update, trace });
        if (update) this.#onTrained(report);
        return report;
      },
    };
  }
}
