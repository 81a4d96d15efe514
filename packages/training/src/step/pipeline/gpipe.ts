import { gradientsFrom } from "@lapidary/compiler";
import { type GraphBuilder, type Value } from "@lapidary/ir";
import { type ForwardResult, fromStage, partAt, runForward, withPart } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { stepLoss } from "../token-loss.js";
import { BackwardPhase } from "./backward-tick.js";
import type { PassInputs, PassResult } from "./passes.js";

/**
 * The order `gpipe`: all microbatches forward, the loss of the whole batch, all microbatches backward. The inputs of the stages in all
 * forward ticks are kept between the passes:
 *
 *     repeat M + S − 1 { stages, shift by 1 } ─► loss ─► repeat M + S − 1 { stages again, their vjp, shift by −1 }
 */
export function gpipe(g: GraphBuilder, inputs: PassInputs): PassResult {
  const { model, pipeline, fragment, weights, x, batch, microbatches, chunks, others, total } = inputs;
  const forward = runForward(g, { pipeline, fragment, weights, x, microbatches, keepInputs: true });
  const trained = others.map((name) => ensure(weights.get(name), name));
  const hidden = pipeline.final(g, weights, forward.output);
  const { targets, mask } = batch;
  const objective = stepLoss(g, model, { weights, hidden, targets, mask, total }, { chunks, trained });
  const known = objective.known ?? [{ value: objective.loss, cotangent: g.scalar(1) }];
  const [ofOutput, ...ofOthers] = gradientsFrom(g, known, [forward.output, ...trained]) as [Value, ...Value[]];
  const backward = g.inPhase("backward", () => runBackward(g, inputs, forward, ofOutput));
  return { loss: objective.loss, ...backward, ofOthers, logits: objective.logits };
}

/**
 * The ticks of the backward pass. They visit the forward ticks from the last to the first, so that in tick b all stages need the inputs
 * that they had in forward tick M + S − 2 − b.
 */
function runBackward(
  g: GraphBuilder,
  { pipeline, fragment, weights, microbatches: M }: PassInputs,
  forward: ForwardResult,
  ofOutput: Value,
): Pick<PassResult, "ofInput" | "ofStacks"> {
  const S = pipeline.stages;
  const ticks = M + S - 1;
  const kept = ensure(forward.inputs, "inputs of the stages");
  const stateType = { dtype: "f32" as const, dims: kept.type.dims.slice(1) };
  const [, rows = 0, T = 0, D = 0] = stateType.dims;
  const entering = g.reshape(ofOutput, [rows, M, T, D]);
  const phase = new BackwardPhase(g, pipeline, weights, fragment);
  const zeros = phase.stacks.map((stack) => g.splat(0, ensure(weights.get(stack), stack).type));
  const initial = [g.scalar(0, "i32"), g.splat(0, stateType), g.splat(0, entering.type), ...zeros];
  const tickOf = (carried: readonly Value[]): Value[] =>
    g.scope("backward_tick", () => {
      const [tick, before, left, ...totals] = carried as [Value, Value, Value, ...Value[]];
      const forwardTick = g.subtract(g.scalar(ticks - 1, "i32"), tick);
      const inputs = g.reshape(g.dynamicSlice(kept, forwardTick, 0, 1), stateType.dims);
      const value = partAt(g, entering, g.offset(forwardTick, 1 - S));
      const isEntering = g.compare(tick, g.scalar(M, "i32"), "LT");
      const { ofInputs, ofStacks } = phase.tick(inputs, phase.cotangents(before, { value, isEntering }));
      const first = withPart(g, left, fromStage(g, ofInputs, 0), forwardTick);
      const sums = phase.stacks.map((stack, i) =>
        g.named("gradient_sum", g.add(ensure(totals[i], "sum"), ensure(ofStacks.get(stack), stack))),
      );
      return [g.offset(tick, 1), ofInputs, first, ...sums];
    });
  const [, , ofInput, ...sums] = g.repeat(ticks, initial, tickOf, S - 1) as [Value, Value, Value, ...Value[]];
  return {
    ofInput: g.reshape(ofInput, [rows * M, T, D]),
    ofStacks: new Map(phase.stacks.map((stack, i) => [stack, ensure(sums[i], stack)])),
  };
}
