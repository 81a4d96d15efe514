import { vjp } from "@lapidary/compiler";
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
  /** The input of the first stage [B, T, D]. */
  readonly x: Value;
  /** The parameters that no stage has: embedding, final norm, output projection. */
  readonly others: readonly string[];
}

/** What an order of the phases computes. */
export interface PassResult {
  readonly loss: Value;
  /** The gradient of the input of the first stage [B, T, D]. */
  readonly ofInput: Value;
  /** By stack. */
  readonly ofStacks: ReadonlyMap<string, Value>;
  /** Of the parameters `others`, by the final norm and the loss. */
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
  const x = pipeline.embed(g, weights, batch.tokens);
  const fragment = pipeline.stage(B / microbatches, T);
  const { loss, ofInput, ofStacks, ofOthers, logits } = orders[pipeline.order](g, { ...passes, fragment, x, others });
  const trained = others.map((name) => ensure(weights.get(name), name));
  const ofEmbedding = g.inPhase("backward", () => vjp(g, [{ value: x, cotangent: ofInput }], trained));
  const gradients = new Map(ofStacks);
  g.inPhase("backward", () =>
    others.forEach((name, i) => {
      const [head, embedded] = [ensure(ofOthers[i], name), ofEmbedding[i]];
      gradients.set(name, embedded === undefined ? head : g.named("gradient_sum", g.add(head, embedded)));
    }),
  );
  return { loss, gradients, logits };
}
