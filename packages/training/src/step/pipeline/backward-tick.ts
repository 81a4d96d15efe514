import { vjp } from "@lapidary/compiler";
import { type Graph, GraphBuilder, type Value } from "@lapidary/ir";
import { atStage, betweenStages, enterStage, fromStage, type Model, type ParamValues, type Pipeline, runStages } from "@lapidary/models";
import { ensure } from "@lapidary/std";

/** What one backward tick of all stages computes. */
export interface BackwardTick {
  /** The gradient of the inputs of the stages [S, rows, T, D]. */
  readonly ofInputs: Value;
  /** By stack, the sum of the gradients of its weights, this tick included. */
  readonly sums: ReadonlyMap<string, Value>;
}

/** The backward phase of the stages of a model. It computes a stage again from its input, so that nothing else is kept. */
export class BackwardPhase {
  readonly #backward: Graph;

  constructor(
    readonly g: GraphBuilder,
    readonly pipeline: Pipeline,
    readonly weights: ParamValues,
    fragment: Graph,
  ) {
    this.#backward = backwardOf(fragment, [...pipeline.stacks.keys()]);
  }

  /** The stacks of weights, in the order of `BackwardTick.sums`. */
  get stacks(): string[] {
    return [...this.pipeline.stacks.values()];
  }

  /**
   * Appends a tick. A stage without a microbatch has the cotangent zero, and so all its gradients are zero.
   *
   * @param inputs of the stages, from the forward tick of their microbatch
   * @param cotangents of their outputs
   * @param before by stack, the sum of its gradients in the ticks before. Each gradient is added as soon as it is computed
   */
  tick(inputs: Value, cotangents: Value, before: ReadonlyMap<string, Value>): BackwardTick {
    const { g, pipeline, weights } = this;
    const add = (name: string, gradient: Value): Value => {
      const stack = pipeline.stacks.get(name);
      return stack === undefined ? gradient : g.named("gradient_sum", g.add(ensure(before.get(stack), stack), gradient));
    };
    const states = new Map([
      ["x", inputs],
      ["dy", cotangents],
    ]);
    const stages = { pipeline, weights, fragment: this.#backward };
    const found = runStages(g, stages, { states, prefix: "backward_tick.", onOutput: add });
    return {
      ofInputs: betweenStages(g, ensure(found.get("dx"), "gradient of the inputs")),
      sums: new Map([...pipeline.stacks].map(([name, stack]) => [stack, ensure(found.get(name), name)])),
    };
  }

  /**
   * The gradient of the embedding, by the microbatch that was in the first stage. It is zero if there was none.
   *
   * @param tokens of the microbatch i32[rows, T]
   */
  ofEmbedding({ ofInputs }: Pick<BackwardTick, "ofInputs">, tokens: Value): Value {
    const { g, pipeline, weights } = this;
    const x = pipeline.embed(g, weights, tokens);
    const table = ensure(weights.get(pipeline.embedding), pipeline.embedding);
    const [gradient] = vjp(g, [{ value: x, cotangent: fromStage(g, ofInputs, 0) }], [table]);
    return ensure(gradient, "gradient of the embedding");
  }

  /** The cotangents of a tick: those of the stages after, and `entering` [rows, T, D] for the last stage where `isEntering` is true. */
  cotangents(before: Value, entering?: { readonly value: Value; readonly isEntering?: Value }): Value {
    const { g, pipeline } = this;
    const moved = g.named("to_stage_before", g.shift(before, 0, -1, false));
    if (entering === undefined) return moved;
    const isLast = atStage(g, before, pipeline.stages - 1);
    const { value, isEntering } = entering;
    const enters = isEntering === undefined ? isLast : g.and(isLast, g.broadcastInDim(isEntering, before.type.dims, []));
    return g.named("cotangent", enterStage(g, enters, value, moved));
  }
}

/** The yields of sums as gradients of parameters, which ZeRO splits. */
export const asGradients = (
  g: GraphBuilder,
  { params }: Pick<Model, "params">,
  names: readonly string[],
  sums: readonly Value[],
): Value[] =>
  names.map((name, i) => {
    const spec = ensure(
      params.find((param) => param.name === name),
      name,
    );
    return g.named("gradient_sum", ensure(sums[i], name), spec.logicalAxes, "gradient");
  });

/**
 * The graph of a stage, computed again from its input `x`, with its derivatives: `x`, `dy` and the weights → `dx` and those of the weights. Its
 * forward values have the pass `forward`, so that rematerialization decides which of them the tick keeps.
 */
function backwardOf(fragment: Graph, weights: readonly string[]): Graph {
  const g = new GraphBuilder(`${fragment.name}_backward`);
  const parameters = new Map<string, Value>();
  for (const value of fragment.values) {
    const copy = g.push(value.op, value.inputs, value.attrs, value.type, value);
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
