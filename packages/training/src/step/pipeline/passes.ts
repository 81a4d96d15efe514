import { type Graph, type GraphBuilder, type Value } from "@lapidary/ir";
import type { Model, ParamValues, Pipeline, PipelineOrder } from "@lapidary/models";
import { assert, ensure } from "@lapidary/std";
import type { BatchValues } from "../batch-inputs.js";
import type { LossChunks } from "../token-loss.js";
import { gpipe } from "./gpipe.js";
import { oneForwardOneBackward } from "./one-forward-one-backward.js";

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

/** The loss of a batch and its gradients by parameter. */
export interface PipelineLoss extends Pick<PassResult, "loss" | "logits"> {
  readonly gradients: ReadonlyMap<string, Value>;
}

/** Every order of the phases. */
const orders: Readonly<Record<PipelineOrder, (g: GraphBuilder, inputs: PassInputs) => PassResult>> = {
  gpipe,
  "1f1b": oneForwardOneBackward,
};

/**
 * Forward and backward pass of a pipeline. The embedding, the final norm and the loss are outside of the stages: chips of all stages compute
 * a part of the positions of each.
 */
export function pipelinePasses(g: GraphBuilder, passes: PipelinePasses): PipelineLoss {
  const { pipeline, weights, batch, microbatches } = passes;
  const [B = 0, T = 0] = batch.tokens.type.dims;
  assert(B % microbatches === 0, "the number of microbatches divides the rows", B, microbatches);
  const stacks = new Set(pipeline.stacks.values());
  const others = [...weights.keys()].filter((name) => !stacks.has(name));
  const fragment = pipeline.stage(B / microbatches, T);
  const { loss, ofStacks, ofOthers, logits } = orders[pipeline.order](g, { ...passes, fragment, others });
  const gradients = new Map([...ofStacks, ...others.map((name, i): [string, Value] => [name, ensure(ofOthers[i], name)])]);
  return { loss, gradients, logits };
}
