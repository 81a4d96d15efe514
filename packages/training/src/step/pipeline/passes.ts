import type { GraphBuilder, Value } from "@lapidary/ir";
import type { PipelineOrder } from "@lapidary/models";
import { assert, ensure } from "@lapidary/std";
import { gpipe } from "./gpipe.js";
import type { PassInputs, PassResult, PipelinePasses } from "./pass-inputs.js";
import { oneForwardOneBackward, zeroBubble } from "./one-forward-one-backward.js";

/** The loss of a batch and its gradients by parameter. */
export interface PipelineLoss extends Pick<PassResult, "loss" | "logits"> {
  readonly gradients: ReadonlyMap<string, Value>;
}

/** Every order of the phases. */
const orders: Readonly<Record<PipelineOrder, (g: GraphBuilder, inputs: PassInputs) => PassResult>> = {
  gpipe,
  circular: gpipe,
  "1f1b": oneForwardOneBackward,
  zero_bubble: zeroBubble,
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
