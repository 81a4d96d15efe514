import { gradientsFrom } from "@lapidary/compiler";
import { type GraphBuilder, type Value } from "@lapidary/ir";
import { type ForwardResult, partAt, partsOf, runForward } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { stepLoss } from "../token-loss.js";
import { asGradients, BackwardPhase } from "./backward-tick.js";
import type { PassInputs, PassResult } from "./pass-inputs.js";

/**
 * The order `gpipe`: all microbatches forward, the loss of the whole batch, all microbatches backward. The inputs of the stages in all
 * forward ticks are kept between the passes:
 *
 *     repeat M + S − 1 { stages, shift by 1 } ─► loss ─► repeat M + S − 1 { stages again, their vjp, shift by −1 }
 */
export function gpipe(g: GraphBuilder, inputs: PassInputs): PassResult {
  const { model, pipeline, fragment, weights, batch, microbatches, chunks, others, total } = inputs;
  const forward = runForward(g, { pipeline, fragment, weights, tokens: batch.tokens, microbatches, keepInputs: true });
  const trained = others.map((name) => ensure(weights.get(name), name));
  const hidden = pipeline.final(g, weights, forward.output);
  const { targets, mask } = batch;
  const objective = stepLoss(g, model, { weights, hidden, targets, mask, total }, { chunks, trained });
  const known = objective.known ?? [{ value: objective.loss, cotangent: g.scalar(1) }];
  const [ofOutput, ...ofOthers] = gradientsFrom(g, known, [forward.output, ...trained]) as [Value, ...Value[]];
  const backward = g.inPhase("backward", () => runBackward(g, inputs, forward, ofOutput));
  const sums = others.map((name, i) => {
    const own = ensure(ofOthers[i], name);
    return name === pipeline.embedding ? g.inPhase("backward", () => g.named("gradient_sum", g.add(own, backward.ofEmbedding))) : own;
  });
  return { loss: objective.loss, ofStacks: backward.ofStacks, ofOthers: sums, logits: objective.logits };
}

/**
 * The ticks of the backward pass. They visit the forward ticks from the last to the first, so that in tick b all stages need the inputs
 * that they had in forward tick M + S − 2 − b.
 */
function runBackward(
  g: GraphBuilder,
  { model, pipeline, fragment, weights, batch, microbatches: M }: PassInputs,
  forward: ForwardResult,
  ofOutput: Value,
): Pick<PassResult, "ofStacks"> & { readonly ofEmbedding: Value } {
  const S = pipeline.stages;
  const ticks = M + S - 1;
  const kept = ensure(forward.inputs, "inputs of the stages");
  const stateType = { dtype: "f32" as const, dims: kept.type.dims.slice(1) };
  const [, rows = 0, T = 0, D = 0] = stateType.dims;
  const entering = g.reshape(ofOutput, [rows, M, T, D]);
  const phase = new BackwardPhase(g, pipeline, weights, fragment);
  const tokens = partsOf(g, batch.tokens, M);
  const summed = [pipeline.embedding, ...phase.stacks];
  const zeros = summed.map((name) => g.splat(0, ensure(weights.get(name), name).type));
  const initial = [g.scalar(0, "i32"), g.splat(0, stateType), ...zeros];
  const tickOf = (carried: readonly Value[]): Value[] =>
    g.scope("backward_tick", () => {
      const [tick, before, ...totals] = carried as [Value, Value, ...Value[]];
      const forwardTick = g.subtract(g.scalar(ticks - 1, "i32"), tick);
      const inputs = g.reshape(g.dynamicSlice(kept, forwardTick, 0, 1), stateType.dims);
      const value = partAt(g, entering, g.offset(forwardTick, 1 - S));
      const isEntering = g.compare(tick, g.scalar(M, "i32"), "LT");
      const [embeddingBefore, ...stacksBefore] = totals as [Value, ...Value[]];
      const sumsBefore = new Map(phase.stacks.map((stack, i) => [stack, ensure(stacksBefore[i], stack)]));
      const found = phase.tick(inputs, phase.cotangents(before, { value, isEntering }), sumsBefore);
      const ofEmbedding = phase.ofEmbedding(found, partAt(g, tokens, forwardTick));
      const embeddingSum = g.named("gradient_sum", g.add(embeddingBefore, ofEmbedding));
      return [g.offset(tick, 1), found.ofInputs, embeddingSum, ...found.sums.values()];
    });
  const [, , ...sums] = g.repeat(ticks, initial, tickOf, S - 1);
  const [ofEmbedding, ...ofStacks] = asGradients(g, model, summed, sums);
  return {
    ofEmbedding: ensure(ofEmbedding, "gradient of the embedding"),
    ofStacks: new Map(phase.stacks.map((stack, i) => [stack, ensure(ofStacks[i], stack)])),
  };
}
