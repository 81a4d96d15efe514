import { assert, ensure } from "@lapidary/std";
import type { OpName } from "./attrs.js";
import type { GraphBuilder } from "./builder.js";
import { type Graph, type Value, makeScope } from "./graph.js";
import { opDef } from "./ops/index.js";

export interface BatchedInputs {
  /** The leading dim, and its logical axis. */
  readonly size: number;
  readonly axis: string;
  /** By parameter of the fragment: an array with the leading dim, or an array that all places share. */
  readonly inputs: ReadonlyMap<string, Value>;
  /** The names of the values begin with it. */
  readonly prefix: string;
  /**
   * Receives each output as soon as it is computed, and returns the value that takes its place. So a sum of outputs frees each of them
   * before the next.
   */
  readonly onOutput?: (name: string, value: Value) => Value;
}

/**
 * Appends a graph to `g` as one that computes `size` independent places at once: JAX's `vmap` over a new leading dim. Values that depend
 * on no batched input are computed once. The names, blocks and passes of the values are those of the fragment.
 *
 * @returns by output of the fragment, an array with the leading dim
 */
export function inlineBatched(
  g: GraphBuilder,
  fragment: Graph,
  { size, axis, inputs, prefix, onOutput = (_, value) => value }: BatchedInputs,
): Map<string, Value> {
  const made: { readonly value: Value; readonly batched: boolean }[] = [];
  const { region, block, tick } = g.scopeNow;
  const scopeOf = ({ scope }: Value): Value["scope"] => makeScope({ ...scope, block: scope.block ?? block, region, tick });
  /** The value with the leading dim. */
  const spread = ({ value, batched }: (typeof made)[number]): Value =>
    batched
      ? value
      : g.broadcastInDim(
          value,
          [size, ...value.type.dims],
          value.type.dims.map((_, d) => d + 1),
        );
  const results = new Map<string, Value>();
  const outputsOf = new Map<number, string[]>();
  for (const { name, value } of fragment.outputs) outputsOf.set(value, [...(outputsOf.get(value) ?? []), name]);
  for (const value of fragment.values) {
    append(value);
    for (const name of outputsOf.get(value.id) ?? []) {
      const output = spread(ensure(made[value.id], "output"));
      results.set(
        name,
        g.inBlock(value.scope.block, () => onOutput(name, output)),
      );
    }
  }
  return results;

  function append(value: Value): void {
    if (value.op === "parameter") {
      const given = ensure(inputs.get(value.attrs.name), `input ${value.attrs.name}`);
      const batched = given.type.dims.length === value.type.dims.length + 1;
      assert(batched || given.type.dims.length === value.type.dims.length, "an input has the dims of its parameter", value.attrs.name);
      made.push({ value: given, batched });
      return;
    }
    const operands = value.inputs.map((id) => ensure(made[id], "operand"));
    const scope = scopeOf(value);
    const extras = { name: `${prefix}${value.name}`, scope };
    if (!operands.some(({ batched }) => batched)) {
      const ids = operands.map(({ value: operand }) => operand.id);
      const logicalAxes = value.logicalAxes;
      // Equal constants of a pass are one value.
      const shared = value.op === "constant" ? g.splat(value.attrs.value, value.type) : undefined;
      made.push({ value: shared ?? g.push(value.op, ids, value.attrs, value.type, { ...extras, logicalAxes }), batched: false });
      return;
    }
    const def = opDef<OpName>(value.op);
    const attrs = ensure(def.batch, `batching rule of ${value.op}`)(value.attrs, { size, axis });
    const arrays = operands.map((operand, i) => {
      if (!isScalarOperand(value, i)) return spread(operand);
      assert(!operand.batched, "all places share the start of a slice", value.name);
      return operand.value;
    });
    const logicalAxes = value.logicalAxes === undefined ? undefined : [axis, ...value.logicalAxes];
    made.push({ value: g.op(value.op, arrays, attrs, { ...extras, logicalAxes }), batched: true });
  }
}

/** The start of a dynamic slice is the last operand, a scalar for all places. */
const isScalarOperand = ({ op, inputs }: Value, operand: number): boolean =>
  (op === "dynamic_slice" || op === "dynamic_update_slice") && operand === inputs.length - 1;
