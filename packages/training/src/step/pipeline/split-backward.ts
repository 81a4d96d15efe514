import { type Graph, GraphBuilder, type OpName, type Value, type ValueId } from "@lapidary/ir";
import { ensure } from "@lapidary/std";

/** The backward pass of a stage in two parts, for the order `zero_bubble`. */
export interface SplitBackward {
  /** `x`, `dy` and the weights → `dx`, the gradients of weights that need no matmul, and what `weights` reads by the names `kept`. */
  readonly inputs: Graph;
  /** What `inputs` keeps, and the weights → the other gradients of weights. */
  readonly weights: Graph;
  /** The outputs of `inputs` that `weights` reads. */
  readonly kept: readonly string[];
}

/** Ops that only move elements: the second part computes them again, so that the smaller operand of a broadcast is kept. */
const movesElements: ReadonlySet<OpName> = new Set<OpName>(["reshape", "transpose", "broadcast_in_dim"]);

/**
 * Divides the graph `x`, `dy`, weights → `dx`, gradients of weights. The second part has the matmuls that `dx` does not need, and what
 * follows them. The first part has everything else, because the other ops that only gradients of weights need are small sums:
 *
 *     x, dy ─► … ─► dx                    first part
 *               └─► a, b ─┊─► aᵀ · b      second part; a and b are kept
 *
 * The second part computes again what depends on neither `x` nor `dy`, and what only moves elements.
 */
export function splitBackward(backward: Graph): SplitBackward {
  return new Split(backward).run();
}

class Split {
  /** Values that depend on `x` or `dy`. */
  readonly #dependsOnState = new Set<ValueId>();
  readonly #isLate = new Set<ValueId>();
  readonly #late: GraphBuilder;
  /** By value of `backward`: the value of the second part. */
  readonly #copies = new Map<ValueId, Value>();
  /** By name: the value of `backward` that is kept. */
  readonly #kept = new Map<string, ValueId>();

  constructor(readonly backward: Graph) {
    this.#late = new GraphBuilder(`${backward.name}_weights`);
    const ofInputs = ancestors(backward, [outputOf(backward, "dx")]);
    for (const { id, op, attrs, inputs } of backward.values) {
      const isState = op === "parameter" && (attrs.name === "x" || attrs.name === "dy");
      if (isState || inputs.some((input) => this.#dependsOnState.has(input))) this.#dependsOnState.add(id);
      if (!ofInputs.has(id) && (op === "dot_general" || inputs.some((input) => this.#isLate.has(input)))) this.#isLate.add(id);
    }
  }

  run(): SplitBackward {
    const { outputs } = this.backward;
    for (const { name, value } of outputs) if (this.#isLate.has(value)) this.#late.output(name, this.#inLate(value));
    const early = outputs.filter(({ value }) => !this.#isLate.has(value));
    const kept = [...this.#kept].map(([name, value]) => ({ name, value }));
    return {
      inputs: partOf(this.backward, `${this.backward.name}_inputs`, [...early, ...kept]),
      weights: this.#late.finish(),
      kept: [...this.#kept.keys()],
    };
  }

  /** A value of the second part, with what it is computed from. */
  #inLate(id: ValueId): Value {
    const known = this.#copies.get(id);
    if (known !== undefined) return known;
    const value = ensure(this.backward.values[id], "value");
    const isComputed = this.#isLate.has(id) || !this.#dependsOnState.has(id) || movesElements.has(value.op);
    const copy = isComputed ? this.#copied(value) : this.#keep(value);
    this.#copies.set(id, copy);
    return copy;
  }

  #copied(value: Value): Value {
    const inputs = value.inputs.map((input) => this.#inLate(input).id);
    return this.#late.push(value.op, inputs, value.attrs, value.type, value);
  }

  #keep({ id, type, logicalAxes }: Value): Value {
    const name = `kept.${this.#kept.size}`;
    this.#kept.set(name, id);
    return this.#late.parameter(name, type, logicalAxes);
  }
}

const outputOf = ({ outputs }: Graph, name: string): ValueId => ensure(outputs.find((output) => output.name === name)?.value, name);

/** The values from which `of` are computed, and `of`. */
function ancestors({ values }: Graph, of: readonly ValueId[]): Set<ValueId> {
  const found = new Set(of);
  for (const { id, inputs } of [...values].reverse()) if (found.has(id)) for (const input of inputs) found.add(input);
  return found;
}

/** The part of a graph that computes the given outputs. */
function partOf(graph: Graph, name: string, outputs: Graph["outputs"]): Graph {
  const needed = ancestors(
    graph,
    outputs.map(({ value }) => value),
  );
  const g = new GraphBuilder(name);
  const copies = new Map<ValueId, Value>();
  const copyOf = (id: ValueId): Value => ensure(copies.get(id), "operand");
  for (const value of graph.values) {
    if (!needed.has(value.id)) continue;
    const inputs = value.inputs.map((input) => copyOf(input).id);
    copies.set(value.id, g.push(value.op, inputs, value.attrs, value.type, value));
  }
  for (const output of outputs) g.output(output.name, copyOf(output.value));
  return g.finish();
}
