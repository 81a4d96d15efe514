import { vjp } from "@lapidary/compiler";
import { type Graph, GraphBuilder, type TensorType, type Value } from "@lapidary/ir";
import { atRepeat, atStage, betweenStages, enterStage, type Model, type ParamValues, type Pipeline, runStages } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { splitBackward } from "./split-backward.js";

/** What one backward tick of all stages computes. */
export interface BackwardTick {
  /** The gradient of the inputs of the stages [S, rows, T, D]. */
  readonly ofInputs: Value;
  /** By stack, the sum of the gradients of its weights, this tick included. */
  readonly sums: ReadonlyMap<string, Value>;
  /** What the gradients of weights are computed from in a later tick, by the names of `BackwardPhase.kept`. */
  readonly kept: ReadonlyMap<string, Value>;
}

/** A part of the backward pass of the stages. */
interface StagePart {
  readonly fragment: Graph;
  readonly prefix: string;
}

/** The backward phase of the stages of a model. It computes a stage again from its input, so that nothing else is kept. */
export class BackwardPhase {
  readonly #first: StagePart;
  readonly #second: StagePart | undefined;
  /** What ticks keep for `weightsTick`: the type of each array [S, …]. */
  readonly kept: ReadonlyMap<string, TensorType>;

  /** @param weightsApart whether `weightsTick` computes the gradients of weights that need a matmul */
  constructor(
    readonly g: GraphBuilder,
    readonly pipeline: Pipeline,
    readonly weights: ParamValues,
    fragment: Graph,
    weightsApart = false,
  ) {
    const backward = backwardOf(fragment, [...pipeline.stacks.keys()]);
    const split = weightsApart ? splitBackward(backward) : undefined;
    const first = split?.inputs ?? backward;
    this.#first = { fragment: first, prefix: "backward_tick." };
    this.#second = split === undefined ? undefined : { fragment: split.weights, prefix: "weights_tick." };
    const typeOf = (name: string): TensorType => {
      const { type } = ensure(first.values[ensure(first.outputs.find((output) => output.name === name)?.value, name)], name);
      return { ...type, dims: [pipeline.stages, ...type.dims] };
    };
    this.kept = new Map((split?.kept ?? []).map((name) => [name, typeOf(name)]));
  }

  /** The stacks of weights whose gradients `tick` adds. */
  get stacks(): string[] {
    return this.#stacksOf(this.#first);
  }

  /** The stacks of weights whose gradients `weightsTick` adds. */
  get stacksApart(): string[] {
    return this.#second === undefined ? [] : this.#stacksOf(this.#second);
  }

  #stacksOf({ fragment }: StagePart): string[] {
    return fragment.outputs.flatMap(({ name }) => this.pipeline.stacks.get(name) ?? []);
  }

  /**
   * Appends a tick. A stage without a microbatch has the cotangent zero, and so all its gradients are zero.
   *
   * @param inputs of the stages, from the forward tick of their microbatch
   * @param cotangents of their outputs
   * @param before by stack, the sum of its gradients in the ticks before. Each gradient is added as soon as it is computed
   * @param repeat with repeats: that of each stage, i32[S]
   */
  tick(inputs: Value, cotangents: Value, before: ReadonlyMap<string, Value>, repeat?: Value): BackwardTick {
    const states = new Map([
      ["x", inputs],
      ["dy", cotangents],
    ]);
    const found = this.#run(this.#first, { states, repeat }, before);
    return {
      ofInputs: betweenStages(this.g, ensure(found.get("dx"), "gradient of the inputs")),
      sums: this.#sums(this.#first, found),
      kept: new Map([...this.kept.keys()].map((name) => [name, ensure(found.get(name), name)])),
    };
  }

  /**
   * Appends the gradients of weights of a tick of all stages.
   *
   * @param kept by the backward tick of the microbatch of each stage
   * @returns by stack, the sum of the gradients of its weights
   */
  weightsTick(kept: ReadonlyMap<string, Value>, before: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> {
    const part = ensure(this.#second, "gradients of weights apart");
    return this.#sums(part, this.#run(part, { states: new Map(), kept }, before));
  }

  #run(
    { fragment, prefix }: StagePart,
    inputs: { readonly states: ParamValues; readonly kept?: ParamValues; readonly repeat?: Value | undefined },
    before: ReadonlyMap<string, Value>,
  ): Map<string, Value> {
    const { g, pipeline, weights } = this;
    const { repeat } = inputs;
    const add = (name: string, gradient: Value): Value => {
      const stack = pipeline.stacks.get(name);
      if (stack === undefined) return gradient;
      const own = repeat === undefined ? gradient : atRepeat(g, gradient, repeat, pipeline.repeats);
      return g.named("gradient_sum", g.add(ensure(before.get(stack), stack), own));
    };
    return runStages(g, { pipeline, weights, fragment }, { ...inputs, prefix, onOutput: add });
  }

  #sums({ fragment }: StagePart, found: ReadonlyMap<string, Value>): Map<string, Value> {
    const { stacks } = this.pipeline;
    const names = fragment.outputs.map(({ name }) => name).filter((name) => stacks.has(name));
    return new Map(names.map((name) => [ensure(stacks.get(name), name), ensure(found.get(name), name)]));
  }

  /**
   * The gradient of the embedding.
   *
   * @param tokens i32[rows, T]
   * @param cotangent of the inputs of the first stage for these tokens [rows, T, D]
   */
  ofEmbedding(tokens: Value, cotangent: Value): Value {
    const { g, pipeline, weights } = this;
    const x = pipeline.embed(g, weights, tokens);
    const table = ensure(weights.get(pipeline.embedding), pipeline.embedding);
    const [gradient] = vjp(g, [{ value: x, cotangent }], [table]);
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
