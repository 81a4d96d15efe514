import type { GraphBuilder, LogicalAxes, Value } from "@lapidary/ir";
import type { Model } from "@lapidary/models";
import type { OptionSpecs, OptionValues } from "./options.js";

/** The version of this interface. It changes if a recipe of an earlier version would not work, or would compute other numbers. */
export const apiVersion = 1;

/** A recipe that a user wrote. Its module exports it as `recipe`. */
export interface RecipeDefinition<O extends OptionSpecs = OptionSpecs> {
  readonly apiVersion: typeof apiVersion;
  /** The keys below `options` of a job. */
  readonly options?: O;
  /** The frozen parameter sets that a job names in `sets`, each with its checkpoint. */
  readonly sets?: readonly string[];
  /**
   * The loss of every target, f32[B,T]. The step program minimizes its mean over the targets that count, over all chips.
   *
   * @param g appends to the step program
   */
  readonly loss: (g: GraphBuilder, inputs: GraphInputs<O>) => Value | TokenLosses;
  /** The held-out loss of every target, f32[B,T]. Default: the cross-entropy, which recipes can be compared by. */
  readonly heldoutLoss?: (g: GraphBuilder, inputs: GraphInputs<O>) => Value;
  /** Further programs, by name. Each returns its outputs by name. */
  readonly programs?: Readonly<Record<string, (g: GraphBuilder, inputs: GraphInputs<O>) => Readonly<Record<string, Value>>>>;
  /** The controller of a run. Default: each step updates the states once, on its batch. */
  readonly controller?: (run: RecipeRun<O>) => RecipeController | Promise<RecipeController>;
}

/** Declares a recipe. It returns its argument: the call gives an editor the types. */
export const defineRecipe = <O extends OptionSpecs>(definition: RecipeDefinition<O>): RecipeDefinition<O> => definition;

/** Losses of all targets, and values that the step reports as their means over the targets that count. */
export interface TokenLosses {
  /** f32[B,T] */
  readonly losses: Value;
  /** f32[B,T] each, by the name of the metric. */
  readonly metrics?: Readonly<Record<string, Value>>;
}

/** The inputs of a program. It gets the inputs that are read here, and no others. */
export interface GraphInputs<O extends OptionSpecs = OptionSpecs> extends ParameterSetInputs {
  readonly options: OptionValues<O>;
  /** Rows of a batch over all chips (B), and tokens of a row (T). */
  readonly batch: number;
  readonly seq: number;
  /** i32[B,T]: the token after each position. */
  readonly targets: Value;
  /** f32[B,T]: 1 where the target counts. */
  readonly mask: Value;
  /** A frozen parameter set on the tokens of the batch. */
  readonly set: (name: string) => ParameterSetInputs;
  /** An array that the controller passes in `arrays`. `logicalAxes` decide its sharding, such as `["batch", "seq"]`. */
  readonly array: (name: string, dtype: "f32" | "i32", dims: readonly number[], logicalAxes?: LogicalAxes) => Value;
}

/** A parameter set on the tokens of the batch; the trained one, or a frozen one. */
export interface ParameterSetInputs {
  readonly model: Model;
  /** i32[B,T] */
  readonly tokens: Value;
  /** The weights, by their names in checkpoints. */
  readonly weights: ReadonlyMap<string, Value>;
  /** f32[B,T,V] */
  readonly logits: Value;
}

/** A whole array of a run. */
export type ArrayOfRun =
  | { readonly dtype: "f32"; readonly dims: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: "i32"; readonly dims: readonly number[]; readonly data: Int32Array };

export interface CallRequest {
  /** The batch whose arrays the program reads. Batches of one number are equal in all attempts. */
  readonly batch: number;
  /** `train` by default. */
  readonly split?: "train" | "heldout";
  /** The arrays that the program declares with `array`. */
  readonly arrays?: Readonly<Record<string, ArrayOfRun>>;
}

export type UpdateRequest = Pick<CallRequest, "batch" | "arrays">;

/** The outputs of a program. */
export interface ProgramResult {
  readonly scalars: Readonly<Record<string, number>>;
  readonly arrays: Readonly<Record<string, ArrayOfRun>>;
}

export interface Evaluation {
  readonly loss: number;
  /** Targets that count. */
  readonly tokens: number;
  /** Further metrics, by name. */
  readonly more?: Readonly<Record<string, number>>;
}

/** What a controller can do with the workers of a run. */
export interface RecipeRun<O extends OptionSpecs = OptionSpecs> {
  readonly options: OptionValues<O>;
  readonly seed: number;
  readonly batch: number;
  readonly seq: number;
  /** Runs a program of `programs` with the current states. */
  call(program: string, request: CallRequest): Promise<ProgramResult>;
  /** Updates the states: the one update of a step. @returns the metrics of the step program */
  update(request: UpdateRequest): Promise<Readonly<Record<string, number>>>;
  /** The mean of `heldoutLoss` over the first `batches` held-out batches. */
  evaluate(batches: number): Promise<Evaluation>;
  /** Adds an event to the events of the run, which `lapidary logs` and the dashboard show. */
  emit(name: string, values: Readonly<Record<string, number | string>>): void;
}

/**
 * The controller of a run on one worker group.
 *
 * Invariant: a step is a function of (states, frozen sets, options, seed, number of the step, number of the batch). Nothing else passes from one step to the
 * next. A step that was interrupted is computed again, and gives the same bits.
 */
export interface RecipeController {
  /**
   * Step number `step`, from 0, on batch number `batch`. It calls `update` once. The step is committed when the promise is fulfilled.
   *
   * @returns further metrics of the step, by name
   */
  step(at: { readonly step: number; readonly batch: number }): Promise<Readonly<Record<string, number>> | undefined>;
  /** The held-out evaluation after a step. Default: `run.evaluate`. */
  evaluate?(batches: number): Promise<Evaluation>;
}
