import { gradientsFrom, vjp } from "@lapidary/compiler";
import { type Graph, GraphBuilder, makeScope, type Value } from "@lapidary/ir";
import {
  atStage,
  enterStage,
  type ForwardResult,
  fromStage,
  type Model,
  type ParamValues,
  partAt,
  type Pipeline,
  runForward,
  runStages,
  withPart,
} from "@lapidary/models";
import { ensure } from "@lapidary/std";
import type { BatchValues } from "./batch-inputs.js";
import type { AccumulatedLoss } from "./microbatches.js";
import { type LossChunks, stepLoss } from "./token-loss.js";

export interface PipelinePasses {
  readonly model: Model;
  readonly pipeline: Pipeline;
  /** By name of the model's parameters. */
  readonly weights: ParamValues;
  readonly batch: BatchValues;
  readonly microbatches: number;
  readonly chunks: LossChunks | undefined;
}

/** The loss of a batch, its gradients by parameter, and the targets that count. */
export interface PipelineLoss extends Pick<AccumulatedLoss, "loss"> {
  readonly gradients: ReadonlyMap<string, Value>;
  readonly count: Value;
  /** Appends the logits f32[B, T, V]. */
  readonly logits: () => Value;
}

/**
 * Forward and backward pass of a pipeline in the order `gpipe`: all microbatches forward, the loss of the whole batch, all microbatches
 * backward. Only the inputs of the stages are kept between the passes:
 *
 *     embed ─► repeat M + S − 1 { stages, shift by 1 } ─► loss ─► repeat M + S − 1 { stages again, their vjp, shift by −1 } ─► embed
 *
 * The embedding, the final norm and the loss are outside of the ticks: chips of all stages compute a part of the positions of each.
 */
export function pipelinePasses(g: GraphBuilder, { model, pipeline, weights, batch, microbatches, chunks }: PipelinePasses): PipelineLoss {
  const { tokens, targets, mask } = batch;
  const [B = 0, T = 0] = tokens.type.dims;
  const fragment = pipeline.stage(B / microbatches, T);
  const x = pipeline.embed(g, weights, tokens);
  const forward = runForward(g, { pipeline, fragment, weights, x, microbatches, keepInputs: true });
  const stacks = new Set(pipeline.stacks.values());
  const others = [...weights.keys()].filter((name) => !stacks.has(name));
  const trained = others.map((name) => ensure(weights.get(name), name));
  const hidden = pipeline.final(g, weights, forward.output);
  const objective = stepLoss(g, model, { weights, hidden, targets, mask }, { chunks, trained });
  const known = objective.known ?? [{ value: objective.loss, cotangent: g.scalar(1) }];
  const [ofOutput, ...ofHead] = gradientsFrom(g, known, [forward.output, ...trained]) as [Value, ...Value[]];
  const backward = g.inPhase("backward", () => runBackward(g, { pipeline, fragment, weights, forward, ofOutput, microbatches }));
  const ofEmbedding = g.inPhase("backward", () => vjp(g, [{ value: x, cotangent: backward.ofInput }], trained));
  const gradients = new Map(backward.ofStacks);
  g.inPhase("backward", () =>
    others.forEach((name, i) => {
      const [head, embedded] = [ensure(ofHead[i], name), ofEmbedding[i]];
      gradients.set(name, embedded === undefined ? head : g.named("gradient_sum", g.add(head, embedded)));
    }),
  );
  return { loss: objective.loss, gradients, count: objective.count, logits: objective.logits };
}

interface BackwardInputs {
  readonly pipeline: Pipeline;
  readonly fragment: Graph;
  readonly weights: ParamValues;
  readonly forward: ForwardResult;
  /** The gradient of the output of the last stage [B, T, D]. */
  readonly ofOutput: Value;
  readonly microbatches: number;
}

/**
 * The ticks of the backward pass. They visit the forward ticks from the last to the first, so that in tick b all stages need the inputs
 * that they had in forward tick M + S − 2 − b. The gradient of a stage without a microbatch is zero.
 */
function runBackward(
  g: GraphBuilder,
  { pipeline, fragment, weights, forward, ofOutput, microbatches: M }: BackwardInputs,
): { readonly ofInput: Value; readonly ofStacks: Map<string, Value> } {
  const S = pipeline.stages;
  const ticks = M + S - 1;
  const inputs = ensure(forward.inputs, "inputs of the stages");
  const stateType = { dtype: "f32" as const, dims: inputs.type.dims.slice(1) };
  const [, rows = 0, T = 0, D = 0] = stateType.dims;
  const entering = g.reshape(ofOutput, [rows, M, T, D]);
  const backward = backwardOf(fragment, [...pipeline.stacks.keys()]);
  const names = [...pipeline.stacks];
  const stacks = names.map(([, stack]) => ensure(weights.get(stack), stack));
  const zeros = stacks.map(({ type }) => g.splat(0, type));
  const initial = [g.scalar(0, "i32"), g.splat(0, stateType), g.splat(0, entering.type), ...zeros];
  const [, , ofInput, ...sums] = g.repeat(ticks, initial, (carried) =>
    g.scope("backward_tick", () => {
      const [tick, before, left, ...totals] = carried as [Value, Value, Value, ...Value[]];
      const forwardTick = g.subtract(g.scalar(ticks - 1, "i32"), tick);
      const x = g.reshape(g.dynamicSlice(inputs, forwardTick, 0, 1), stateType.dims);
      const next = partAt(g, entering, g.offset(forwardTick, 1 - S));
      const isMicrobatch = g.broadcastInDim(g.compare(tick, g.scalar(M, "i32"), "LT"), stateType.dims, []);
      const enters = g.and(atStage(g, before, S - 1), isMicrobatch);
      const moved = g.named("to_stage_before", g.shift(before, 0, -1, false));
      const dy = g.named("cotangent", enterStage(g, enters, next, moved));
      const found = runStages(
        g,
        pipeline,
        backward,
        weights,
        new Map([
          ["x", x],
          ["dy", dy],
        ]),
        "backward_tick.",
      ); // prettier-ignore
      const dx = ensure(found.get("dx"), "gradient of the input");
      const first = withPart(g, left, fromStage(g, dx, 0), forwardTick);
      const next_sums = names.map(([name], i) => g.named("gradient_sum", g.add(ensure(totals[i], "sum"), ensure(found.get(name), name))));
      return [g.offset(tick, 1), dx, first, ...next_sums];
    }),
  ) as [Value, Value, Value, ...Value[]];
  return { ofInput: g.reshape(ofInput, [rows * M, T, D]), ofStacks: new Map(names.map(([, stack], i) => [stack, ensure(sums[i], stack)])) };
}

/** The graph of a stage, computed again from its input `x`, with its derivatives: `x`, `dy` and the weights → `dx` and those of the weights. */
function backwardOf(fragment: Graph, weights: readonly string[]): Graph {
  const g = new GraphBuilder(`${fragment.name}_backward`);
  const parameters = new Map<string, Value>();
  for (const value of fragment.values) {
    const scope = makeScope({ ...value.scope, phase: "recompute" });
    const copy = g.push(value.op, value.inputs, value.attrs, value.type, { ...value, scope });
    if (value.op === "parameter") parameters.set(value.attrs.name, copy);
  }
  const y = g.get(ensure(fragment.outputs[0], "output").value);
  const dy = g.parameter("dy", y.type, y.logicalAxes);
  const wrt = ["x", ...weights];
  const found = g.inPhase("backward", () =>
    vjp(
      g,
      [{ value: y, cotangent: dy }],
      wrt.map((name) => ensure(parameters.get(name), name)),
    ),
  );
  wrt.forEach((name, i) => g.output(name === "x" ? "dx" : name, ensure(found[i], `gradient of ${name}`)));
  return g.finish();
}
