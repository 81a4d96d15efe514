import type { Graph, Value } from "@lapidary/ir";
import type { Model, ParamValues, Pipeline } from "@lapidary/models";
import type { BatchValues } from "../batch-inputs.js";
import type { LossChunks } from "../token-loss.js";

export interface PipelinePasses {
  readonly model: Model;
  readonly pipeline: Pipeline;
  /** By name of the model's parameters. */
  readonly weights: ParamValues;
  readonly batch: BatchValues;
  readonly microbatches: number;
  readonly chunks: LossChunks | undefined;
  /** The targets of the batch that count. */
  readonly total: Value;
  readonly withLogits?: boolean;
}

/** The input of an order of the phases. */
export interface PassInputs extends PipelinePasses {
  /** The layers of a stage, for the rows of a microbatch. */
  readonly fragment: Graph;
  /** The parameters that no stage has: embedding, final norm, output projection. */
  readonly others: readonly string[];
}

/** What an order of the phases computes. */
export interface PassResult {
  readonly loss: Value;
  /** By stack. */
  readonly ofStacks: ReadonlyMap<string, Value>;
  /** Of the parameters `others`. */
  readonly ofOthers: readonly Value[];
  /** Appends the logits f32[B, T, V]. */
  readonly logits: () => Value;
}
