import { type Graph, type OpName, type ValueOf, binaryNames, makeScope, sameDims, tableOf, unaryNames } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { isViewTranspose } from "../kernels/shape.js";
import { emitDot } from "./emit-dot.js";
import { regroup } from "./regroup.js";
import { type NodeId, type Plan, PlanBuilder, type PlanOptions, dropDeadNodes } from "./plan.js";

/**
 * Plans the kernel calls of a host program.
 *
 * A value that repeats along a dim (a broadcast, a constant, an iota) is stored once: its node has 1 there, and kernels broadcast when they read it.
 *
 *     constant 0.5 f32[16,128,256]      →  f32[1,1,1]
 *     broadcast rsqrt [16,128] → [16,128,256]  →  view [16,128,1]
 *     iota i32[128,128] along 1, compared with one along 0  →  [1,128] < [128,1]: pred [128,128], once
 *     sum over a repeated dim           →  multiplication by its size
 *
 * It is repeated in memory only if an op needs the full dim: a contraction over it, a concatenation along it, an output.
 */
export function makePlan(graph: Graph, options: PlanOptions): Plan {
  // Only programs that update an array in place have so few rows. The matmuls of all other programs keep their bits.
  const fewRows = options.fewRows === true && graph.values.some(({ op }) => op === "dynamic_update_slice");
  const builder = new PlanBuilder(graph, { ...options, fewRows });
  const nodeOf: NodeId[] = [];
  for (const value of graph.values)
    nodeOf.push(
      emitValue<OpName>(
        builder,
        value,
        value.inputs.map((id) => ensure(nodeOf[id], "operand")),
      ),
    );
  const taken = new Set<NodeId>();
  const outputs = graph.outputs.map(({ name, value }) => {
    const yielded = ensure(graph.values[value], "output");
    const source = { ...yielded, scope: makeScope({ ...yielded.scope, region: undefined }) } as typeof yielded;
    let node = builder.repeat(ensure(nodeOf[value], "output"), source.type.dims, source, { fresh: true });
    // The caller owns the outputs. So a parameter, a constant or another output needs a new tensor handle.
    const { op, constant, type } = builder.get(node);
    if (op === "parameter" || constant || taken.has(node)) node = builder.emit("stop_gradient", {}, [node], type, source, { fresh: true });
    taken.add(node);
    return { name, node };
  });
  return dropDeadNodes({ fewRows, nodes: builder.nodes, outputs });
}

type Emitter<N extends OpName> = (b: PlanBuilder, value: ValueOf<N>, inputs: readonly NodeId[]) => NodeId;
type EmitterTable = { readonly [N in OpName]: Emitter<N> };

/** A value without the type of its attributes. */
const asValue = <N extends OpName>(value: ValueOf<N>): ValueOf<OpName> => value;
const at = (inputs: readonly NodeId[], i: number): NodeId => ensure(inputs[i], "operand");

/** An elementwise op. Its result repeats along the dims in which all operands repeat. */
function elementwise<N extends OpName>(b: PlanBuilder, value: ValueOf<N>, inputs: readonly NodeId[]): NodeId {
  const dims = value.type.dims.map((size, d) => (inputs.some((id) => b.dims(id)[d] !== 1) ? size : 1));
  return b.emit(value.op, value.attrs, inputs, { ...value.type, dims }, asValue(value));
}

/** An op that needs only the chosen dims in full. */
const wholeAlong =
  <N extends OpName>(chosen: (attrs: ValueOf<N>["attrs"]) => readonly number[]): Emitter<N> =>
  (b, value, inputs) => {
    const full = b.fullDims(ensure(value.inputs[0], "operand"));
    const input = b.repeatAlong(at(inputs, 0), chosen(value.attrs), full, asValue(value));
    const dims = value.type.dims.map((size, d) => (b.dims(input)[d] === 1 && full[d] !== 1 ? 1 : size));
    return b.emit(value.op, value.attrs, [input], { ...value.type, dims }, asValue(value));
  };

/** An op that needs its operands in full, in every dim. */
function wholeOperands<N extends OpName>(b: PlanBuilder, value: ValueOf<N>, inputs: readonly NodeId[]): NodeId {
  const whole = inputs.map((id, i) => b.repeat(id, b.fullDims(ensure(value.inputs[i], "operand")), asValue(value)));
  return b.emit(value.op, value.attrs, whole, value.type, asValue(value));
}

const emitters: EmitterTable = {
  parameter: (b, value) => b.emit("parameter", value.attrs, [], value.type, asValue(value)),
  constant: (b, value) => {
    const dims = value.type.dims.map(() => 1);
    return b.emit("constant", { ...value.attrs, dims }, [], { ...value.type, dims }, asValue(value));
  },
  iota: (b, value) => {
    const dims = value.type.dims.map((size, d) => (d === value.attrs.dimension ? size : 1));
    return b.emit("iota", { ...value.attrs, dims }, [], { ...value.type, dims }, asValue(value));
  },
  rng_normal: (b, value) => b.emit("rng_normal", value.attrs, [], value.type, asValue(value)),
  rng_uniform: (b, value, inputs) => b.emit("rng_uniform", value.attrs, inputs, value.type, asValue(value)),
  stop_gradient: (_b, _value, inputs) => at(inputs, 0),
  // Later iterations carry whole arrays.
  carry: (b, value, inputs) =>
    b.emit("carry", value.attrs, [b.repeat(at(inputs, 0), value.type.dims, asValue(value))], value.type, asValue(value)),
  yield: (b, value, inputs) => {
    const next = b.repeat(at(inputs, 1), value.type.dims, asValue(value));
    return b.emit("yield", value.attrs, [at(inputs, 0), next], value.type, asValue(value));
  },
  // Programs of chips have no constrain: partition replaces it by the reshards that it requires.
  constrain: (_b, _value, inputs) => at(inputs, 0),
  cumsum: wholeAlong<"cumsum">(({ dimension }) => [dimension]),
  shift: wholeAlong<"shift">(({ dimension }) => [dimension]),
  pick: (b, value, inputs) => {
    const { from, by } = value.attrs;
    const full = b.fullDims(ensure(value.inputs[0], "operand"));
    const input = b.repeatAlong(at(inputs, 0), [from, by], full, asValue(value));
    const dims = b.dims(input).filter((_, d) => d !== from);
    return b.emit("pick", value.attrs, [input], { ...value.type, dims }, asValue(value));
  },
  ...tableOf(unaryNames, () => elementwise),
  ...tableOf(binaryNames, () => elementwise),
  convert: elementwise,
  and: elementwise,
  power: elementwise,
  remainder: elementwise,
  atan2: elementwise,
  bitwise_and: elementwise,
  bitwise_or: elementwise,
  bitwise_xor: elementwise,
  shift_left: elementwise,
  shift_right_arithmetic: elementwise,
  bitcast_convert: elementwise,
  compare: elementwise,
  select: elementwise,
  broadcast_in_dim: (b, value, inputs) => {
    const input = at(inputs, 0);
    const { broadcastDimensions } = value.attrs;
    return b.view(
      input,
      value.type.dims.map((_, d) => (broadcastDimensions.includes(d) ? (b.dims(input)[broadcastDimensions.indexOf(d)] ?? 1) : 1)),
      asValue(value),
    );
  },
  reshape: (b, value, inputs) => {
    const full = b.fullDims(ensure(value.inputs[0], "operand"));
    const { held, dims } = regroup(full, b.dims(at(inputs, 0)), value.type.dims);
    return b.view(b.repeat(at(inputs, 0), held, asValue(value)), dims, asValue(value));
  },
  transpose: (b, value, inputs) => {
    const input = at(inputs, 0);
    const { permutation } = value.attrs;
    const dims = permutation.map((p) => b.dims(input)[p] ?? 1);
    if (isViewTranspose(b.dims(input), permutation)) return b.view(input, dims, asValue(value));
    return b.emit("transpose", value.attrs, [input], { ...value.type, dims }, asValue(value));
  },
  slice: (b, value, inputs) => {
    const input = at(inputs, 0);
    const held = b.dims(input);
    const [start, limit] = [
      value.attrs.start.map((s, d) => (held[d] === 1 ? 0 : s)),
      value.attrs.limit.map((l, d) => (held[d] === 1 ? 1 : l)),
    ];
    const dims = start.map((s, d) => (limit[d] ?? 0) - s);
    if (sameDims(dims, held)) return input;
    return b.emit("slice", { start, limit }, [input], { ...value.type, dims }, asValue(value));
  },
  dynamic_slice: (b, value, inputs) => {
    const { dimension } = value.attrs;
    const input = b.repeatAlong(at(inputs, 0), [dimension], b.fullDims(ensure(value.inputs[0], "operand")), asValue(value));
    const dims = b.dims(input).map((size, d) => (d === dimension ? value.attrs.size : size));
    return b.emit("dynamic_slice", value.attrs, [input, at(inputs, 1)], { ...value.type, dims }, asValue(value));
  },
  dynamic_update_slice: (b, value, inputs) => {
    const whole = (i: number): NodeId => b.repeat(at(inputs, i), b.fullDims(ensure(value.inputs[i], "operand")), asValue(value));
    const [x, update, start] = [whole(0), whole(1), at(inputs, 2)];
    // The result has the dims of `x` on the device.
    const views = { operands: [x, update, start], inputs: [x, b.arrayOf(update), start] };
    return b.emitOnViews("dynamic_update_slice", value.attrs, views, value.type, asValue(value));
  },
  pad: (b, value, inputs) => {
    const { low, high } = value.attrs;
    const padded = low.map((_, d) => d).filter((d) => low[d] !== 0 || high[d] !== 0);
    const input = b.repeatAlong(at(inputs, 0), padded, b.fullDims(ensure(value.inputs[0], "operand")), asValue(value));
    return b.emit(
      "pad",
      value.attrs,
      [input],
      { ...value.type, dims: b.dims(input).map((size, d) => (low[d] ?? 0) + size + (high[d] ?? 0)) },
      asValue(value),
    );
  },
  concatenate: (b, value, inputs) => {
    const { dimension } = value.attrs;
    // If one operand does not repeat along a dim, all operands have the full dim.
    const whole = value.type.dims.map((_, d) => d).filter((d) => d === dimension || inputs.some((id) => b.dims(id)[d] !== 1));
    const parts = inputs.map((id, i) => b.repeatAlong(id, whole, b.fullDims(ensure(value.inputs[i], "operand")), asValue(value)));
    return b.emit(
      "concatenate",
      value.attrs,
      parts,
      { ...value.type, dims: value.type.dims.map((size, d) => (whole.includes(d) ? size : 1)) },
      asValue(value),
    );
  },
  reduce: (b, value, inputs) => {
    const full = b.fullDims(ensure(value.inputs[0], "operand"));
    const { kind } = value.attrs;
    let node = at(inputs, 0);
    const held = b.dims(node);
    const summed = value.attrs.dims.filter((d) => held[d] !== 1);
    const repeats = value.attrs.dims.filter((d) => held[d] === 1).reduce((n, d) => n * (full[d] ?? 1), 1);
    const kept = held.filter((_, d) => !value.attrs.dims.includes(d));
    if (summed.length > 0)
      node = b.emit(
        "reduce",
        { dims: summed, kind },
        [node],
        { ...value.type, dims: held.filter((_, d) => !summed.includes(d)) },
        asValue(value),
      );
    node = b.view(node, kept, asValue(value));
    if (kind !== "sum" || repeats === 1) return node;
    const ones = kept.map(() => 1);
    const factor = b.emit(
      "constant",
      { value: repeats, dims: ones, dtype: value.type.dtype },
      [],
      { ...value.type, dims: ones },
      asValue(value),
    );
    return b.emit("multiply", {}, [node, factor], { ...value.type, dims: kept }, asValue(value));
  },
  dot_general: emitDot,
  ragged_dot: wholeOperands,
  ragged_contract: wholeOperands,
  gather: (b, value, inputs) => {
    const { batch = 0 } = value.attrs;
    const leading = Array.from({ length: batch }, (_, d) => d);
    const whole = (i: number, along: readonly number[]): NodeId =>
      b.repeatAlong(at(inputs, i), along, b.fullDims(ensure(value.inputs[i], "operand")), asValue(value));
    const [table, ids] = [whole(0, [...leading, batch]), whole(1, leading)];
    return b.emit(
      "gather",
      value.attrs,
      [table, ids],
      { ...value.type, dims: [...b.dims(ids), ...b.dims(table).slice(batch + 1)] },
      asValue(value),
    );
  },
  scatter: (b, value, inputs) => {
    const idDims = b.fullDims(ensure(value.inputs[0], "operand"));
    const ids = b.repeat(at(inputs, 0), idDims, asValue(value));
    const updates = b.repeatAlong(
      at(inputs, 1),
      idDims.map((_, d) => d),
      b.fullDims(ensure(value.inputs[1], "operand")),
      asValue(value),
    );
    return b.emit(
      "scatter",
      value.attrs,
      [ids, updates],
      { ...value.type, dims: [...idDims.slice(0, value.attrs.batch ?? 0), value.attrs.rows, ...b.dims(updates).slice(idDims.length)] },
      asValue(value),
    );
  },
  all_gather: wholeAlong<"all_gather">(({ dimension }) => [dimension]),
  reduce_scatter: wholeAlong<"reduce_scatter">(({ dimension }) => [dimension]),
  all_reduce: wholeAlong<"all_reduce">(() => []),
  all_to_all: wholeAlong<"all_to_all">(({ splitDimension, concatDimension }) => [splitDimension, concatDimension]),
  collective_permute: wholeAlong<"collective_permute">(({ dimension }) => [dimension]),
  shard_slice: wholeAlong<"shard_slice">(({ dimension }) => [dimension]),
};

const emitValue = <N extends OpName>(b: PlanBuilder, value: ValueOf<N>, inputs: readonly NodeId[]): NodeId =>
  emitters[value.op](b, value, inputs);
