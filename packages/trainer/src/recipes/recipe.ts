import type { CompileOptions } from "@lapidary/compiler";
import type { AnyDataset, EncodedPair, ExampleSet, TextPrompt } from "@lapidary/data";
import type { Graph } from "@lapidary/ir";
import type { BuildOptions, ModelConfig, LoraConfig } from "@lapidary/models";
import type { ArrayData, FeedPort, ProgramTensors, RunReport } from "@lapidary/protocol";
import type { Warning } from "@lapidary/std";
import type { LossChunks, RecipePath, ResolvedJob, StateSpec, trainMetrics, UpdateConfig } from "@lapidary/training";

import type { CompletionSample } from "../rl/completion-sample.js";
import type { ProgramHost } from "../rl/program-host.js";

export type RecipeName = "pretrain" | Exclude<NonNullable<ResolvedJob["recipe"]>, RecipePath>;

/** What decides the graphs of a run. JSON. */
export interface RecipeRequest {
  /** Absent: pretraining. */
  readonly recipe?: Exclude<RecipeName, "pretrain"> | RecipePath;
  /** Of the module of a user's recipe. */
  readonly recipe_hash?: string;
  readonly options?: NonNullable<ResolvedJob["options"]>;
  /** The models of the frozen parameter sets of a user's recipe. */
  readonly sets?: Readonly<Record<string, ModelConfig>>;
  /** Whether a user's recipe trains on rows of documents that do not see each other. */
  readonly segments?: boolean;
  readonly lora?: LoraConfig;
  readonly rl?: NonNullable<ResolvedJob["rl"]>;
  readonly dpo?: NonNullable<ResolvedJob["dpo"]>;
  readonly reward_model?: NonNullable<ResolvedJob["reward_model"]>;
  /** The parameter sets of the reward models of rl. */
  readonly reward_sets?: readonly string[];
  /** The tokens of answers, and those that the end of a turn adds if a reward model scores the answers. */
  readonly compare?: { readonly newTokens: number; readonly endTokens?: number };
  /** How completions of rl end. Absent: only the step program is compiled, which does not depend on it. */
  readonly stop?: StopRule;
  readonly model: ModelConfig;
  readonly update: UpdateConfig;
  readonly batch: number;
  readonly seq: number;
  /** The pieces in which a loss over logits is computed. Absent: all logits at once. */
  readonly chunks?: LossChunks;
  /** Parts of the batch that a step computes one after the other; absent: the whole batch at once. */
  readonly microbatches?: number;
  /** How training programs compute the model. */
  readonly build: BuildOptions;
  readonly seed: number;
}

/** How completions end. It depends on the tokenizer. JSON. */
export interface StopRule {
  readonly stopTokens: readonly number[];
  /** Tokens that the end of a turn adds to a completion. */
  readonly endTokens: number;
}

/** A program of a run, before it is compiled. */
interface RecipeGraph {
  readonly trace: () => Graph;
  /** Rules of logical axes that this program changes. */
  readonly rules?: Partial<CompileOptions["rules"]>;
}

/** Phases of a step, in their order. */
export const stepPhases = ["prefill", "decode", "score", "reference", "update"] as const;
export type StepPhase = (typeof stepPhases)[number];

/** The runs of a program in a step. Plans add them up. */
export interface StepRun {
  /** Unique in the step. It differs from the name of the program if runs of a program read several parameter sets. */
  readonly name: string;
  readonly program: string;
  readonly phase: StepPhase;
  /** Runs in a step; a step has fewer if its completions end early. */
  readonly runs: number;
  /** Arrays of the inputs that do not have the name of the parameter. A weight belongs to the set of its array (`weightHandle`). */
  readonly inputs?: ReadonlyMap<string, string>;
  /** Arrays of the outputs that do not have the name of the output. */
  readonly outputs?: ReadonlyMap<string, string>;
}

/** The programs of a run, and the arrays that they share by name. */
export interface RecipeGraphs {
  /** By name, in the order in which they are compiled. Among them are `init`, the recipe's `stepProgram` and, if the model writes text, `next_token`. */
  readonly graphs: Readonly<Record<string, RecipeGraph>>;
  /** The arrays that a step consumes and creates again. Checkpoints, replicas and the program `init` have them. */
  readonly states: readonly StateSpec[];
  /** Parameters that no step changes. Each attempt loads them from the checkpoint of `train.init`. */
  readonly frozen: readonly StateSpec[];
  /** The programs of a step in their order. Absent: the step program, once. */
  readonly step?: readonly StepRun[];
}

/** A request that decides what another leaves to the timing of the programs. If the job decides nothing, the fastest variant that fits is compiled. */
interface RecipeVariant {
  /** The override of the job that decides for it. */
  readonly name: string;
  readonly request: RecipeRequest;
  /** Whether the job decides for it. */
  readonly isGiven: boolean;
}

/** Metrics that every recipe returns. The step log has them. The step of a user may have no norm and no learning rate. */
export type StepMetrics = Readonly<Record<"loss" | "tokens_counted", number>> & {
  readonly [Name in Exclude<(typeof trainMetrics)[number], "loss" | "tokens_counted">]?: number;
} & {
  /** Further metrics, by name. Rows of metrics have them. */
  readonly more?: Readonly<Record<string, number>>;
};

/** The programs of one kind of run. */
export interface RecipePrograms {
  readonly name: RecipeName | RecipePath;
  /** The program that updates the states, or that runs most often. Its text identifies the run's program in checkpoints, the step log and reports. */
  readonly stepProgram: string;
  graphs(request: RecipeRequest): RecipeGraphs;
  /** Other programs for the same results. Absent: there are none. */
  variants?(request: RecipeRequest): readonly RecipeVariant[];
}

/**
 * One kind of training. A recipe decides which programs a run has, and in which order they run. The trainer does everything else for every recipe:
 * compilation, recovery, step log, checkpoints, replicas and reports.
 *
 * Invariant: a step is a function of (states, frozen parameters, seed, number of the step, number of the batch). Nothing else passes from one step to
 * the next. So a step that was interrupted in its middle is computed again from the states after the last committed step, with the same result.
 */
export interface Recipe extends RecipePrograms {
  /** The scalars that a step program returns. Those of `StepMetrics` are among them. */
  readonly metrics: readonly string[];
  /** The arrays of a batch. */
  readonly batchArrays: readonly FeedPort["array"][];
  /** Whether a step waits for results of workers in its middle. If so, the next step is dispatched after its end. */
  readonly isSequential?: boolean;
  /** What the evaluations of a run so far, oldest first, warn about. */
  warningsOf?(evaluations: readonly StepEvaluation[]): readonly Warning[];
  /** Loads the programs that a step needs, and frozen parameter sets, into the workers. */
  open(run: RecipeRun, inputs: RecipeInputs): Promise<RecipeSteps>;
}

/** The controller of a run on one worker group. */
export interface RecipeSteps {
  /**
   * Step number `step`, from 0, on batch number `batch`. Sends all messages before it waits for an answer where the recipe allows it, so that the
   * caller can dispatch several steps ahead.
   *
   * @param trace whether the workers report every call of the step program
   */
  step(step: number, batch: number, trace: boolean): Promise<StepMetrics>;
  /** Mean loss over the first `batches` held-out batches, of the targets that count. */
  evaluate(batches: number): Promise<Evaluation>;
  /** Completes the states of step 0, after `init` has run and the weights of `train.init` are loaded. */
  initialize?(): Promise<void>;
  /** Ends threads of the steps. */
  close?(): Promise<void>;
}

export interface Evaluation {
  readonly loss: number;
  readonly tokens: number;
  /** Further metrics, by name. */
  readonly more?: Readonly<Record<string, number>>;
  /** Completions of held-out prompts, the same prompts in every evaluation, for people: one list for each prompt. */
  readonly samples?: readonly (readonly CompletionSample[])[];
}

/** The metrics of the evaluation after a step. */
export interface StepEvaluation {
  readonly step: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** What the steps of a run depend on besides its states and programs. */
export interface RecipeInputs {
  readonly job: ResolvedJob;
  /** A recipe without `batchArrays` has its examples here. */
  readonly dataset: AnyDataset | ExampleSet<EncodedPair> | ExampleSet<TextPrompt>;
  /** Receives completions of a step, for people. */
  readonly onSamples?: (step: number, samples: readonly CompletionSample[]) => void;
  /** Receives the events of a user's recipe. `step` counts from 1; 0 is before the first step. */
  readonly onEvent?: (step: number, name: string, values: Readonly<Record<string, number | string>>) => void;
  readonly onWarnings?: (warnings: readonly Warning[]) => void;
  /** Receives the progress of long work of an attempt, and undefined at its end. */
  readonly onActivity?: (activity: { readonly what: string; readonly done: number; readonly total: number } | undefined) => void;
  /** Worker processes of the attempt: the order in which numbers are added depends on it. */
  readonly workers: number;
  /** The directory for results that later attempts and runs read again. */
  readonly cacheDir: string;
}

/** What a recipe can do with the workers of a run. Handles are the names of parameters and outputs of its programs. */
export interface RecipeRun {
  /** The names of the states, in the order of the programs. */
  readonly states: readonly string[];
  /** The names of all programs. */
  readonly programs: readonly string[];
  /** Whether the recipe has a controller of a user. */
  readonly hasController: boolean;
  /** The parameters and outputs of a program. */
  tensors(program: string): ProgramTensors;
  /** For programs whose arrays do not have the names of parameters and outputs. */
  readonly host: ProgramHost;
  /** Loads a program at its first use. */
  load(program: string, use: ProgramUse): Promise<LoadedProgram>;
  /** The whole array that a program created or that `put` stored. */
  fetch(array: string): Promise<ArrayData>;
  /** Frees arrays that no later program of the step reads. */
  drop(arrays: readonly string[]): Promise<void>;
}

/** How a program uses the arrays of the run. Every parameter is the array of its own name. */
export interface ProgramUse {
  /** Parameters that a run of the program consumes. */
  readonly consumes: readonly string[];
  /** Outputs that become arrays of the run. The workers keep no other output. */
  readonly creates: readonly string[];
  /** Scalar outputs that the report has. */
  readonly scalars: readonly string[];
}

export interface LoadedProgram {
  /** Stores a whole array as the parameter of its name. */
  put(parameter: string, array: ArrayData): Promise<void>;
  /** Lets every worker read its block of each array of a batch. */
  feed(split: "train" | "heldout", batch: number): Promise<void>;
  /** @param update whether the run is an update of the states, which the files of the run record */
  run(request: { readonly step: number; readonly update?: boolean; readonly trace?: boolean }): Promise<RunReport>;
}
