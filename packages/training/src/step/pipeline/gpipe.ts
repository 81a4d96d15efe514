import { gradientsFrom } from "@lapidary/compiler";
import { type GraphBuilder, type Value } from "@lapidary/ir";
import { type ForwardResult, fromStage, idleOfPass, partAt, passedBy, placeOf, runForward, ticksOf, withPart } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { stepLoss } from "../token-loss.js";
import { asGradients, BackwardPhase } from "./backward-tick.js";
import type { PassInputs, PassResult } from "./pass-inputs.js";

/**
 * The orders `gpipe` and `circular`: all microbatches forward, the loss of the whole batch, all microbatches backward. The inputs of the
 * stages in all forward ticks are kept between the passes. With v repeats (1 for `gpipe`):
 *
 *     repeat v · M + S − 1 { stages, shift by 1 } ─► loss ─► repeat v · M + S − 1 { stages again, their vjp, shift by −1 }
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
 * that they had in forward tick v · M + S − 2 − b.
 *
 * The array `entering` [rows, M, T, D] has for each microbatch what enters the last stage next: the gradient of the output, then with
 * repeats what left the first stage. At the end it has the gradient of the embedded tokens.
 */
function runBackward(
  g: GraphBuilder,
  { model, pipeline, fragment, weights, batch, microbatches: M }: PassInputs,
  forward: ForwardResult,
  ofOutput: Value,
): Pick<PassResult, "ofStacks"> & { readonly ofEmbedding: Value } {
  const { stages: S, repeats } = pipeline;
  const ticks = ticksOf(pipeline, M);
  const kept = ensure(forward.inputs, "inputs of the stages");
  const stateType = { dtype: "f32" as const, dims: kept.type.dims.slice(1) };
  const [, rows = 0, T = 0, D = 0] = stateType.dims;
  const phase = new BackwardPhase(g, pipeline, weights, fragment);
  const { stacks } = phase;
  const zeros = stacks.map((name) => g.splat(0, ensure(weights.get(name), name).type));
  const initial = [g.scalar(0, "i32"), g.splat(0, stateType), g.reshape(ofOutput, [rows, M, T, D]), ...zeros];
  const microbatchOf = (passed: Value): Value => placeOf(g, passed, M, repeats).microbatch;
  const tickOf = (carried: readonly Value[]): Value[] =>
    g.inTick("backward", () => {
      const [tick, before, entering, ...totals] = carried as [Value, Value, Value, ...Value[]];
      const forwardTick = g.subtract(g.scalar(ticks - 1, "i32"), tick);
      const inputs = g.reshape(g.dynamicSlice(kept, forwardTick, 0, 1), stateType.dims);
      const value = partAt(g, entering, microbatchOf(g.offset(forwardTick, 1 - S)));
      const isEntering = g.compare(tick, g.scalar(repeats * M, "i32"), "LT");
      const sumsBefore = new Map(stacks.map((stack, i) => [stack, ensure(totals[i], stack)]));
      const { repeat } = repeats === 1 ? {} : placeOf(g, passedBy(g, forwardTick, S), M, repeats);
      const found = phase.tick(inputs, phase.cotangents(before, { value, isEntering }), sumsBefore, repeat);
      const next = withPart(g, entering, fromStage(g, found.ofInputs, 0), microbatchOf(forwardTick));
      return [g.offset(tick, 1), found.ofInputs, next, ...found.sums.values()];
    });
  const [, , ofEmbedded, ...sums] = g.repeat(ticks, initial, tickOf, { backward: idleOfPass(S) }) as [Value, Value, Value, ...Value[]];
  const ofStacks = asGradients(g, model, stacks, sums);
  return {
    ofEmbedding: phase.ofEmbedding(batch.tokens, g.reshape(ofEmbedded, ofOutput.type.dims)),
    ofStacks: new Map(stacks.map((stack, i) => [stack, ensure(ofStacks[i], stack)])),
  };
}
