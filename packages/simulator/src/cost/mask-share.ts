import { type Graph, opDef, type OpName, ops, type Tensor, tensor, type Value, type ValueId } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { type Mesh, meshSize, shardIndex } from "@lapidary/topology";

/** Rows and columns of a block of scores in TPU kernels. */
const block = 512;

/**
 * The share of the score blocks that a causal mask does not hide, on the chip where it is largest: all chips wait for that one. A chip with
 * the last c of S positions has more work than the others, unless the positions are in balanced order.
 *
 * @param of a value that may depend on a mask
 * @param keys S, the keys of each query
 * @returns undefined if the value does not depend on a causal mask
 */
export function visibleBlocks(graph: Graph, of: ValueId, keys: number): number | undefined {
  const compare = maskOf(graph, of);
  if (compare === undefined) return undefined;
  const [a, b] = compare.inputs;
  const [first, second] = [a, b].map((id) => iotaOf(graph, id));
  if (first?.op === "iota" && second?.op === "iota") {
    if (first.attrs.dimension === second.attrs.dimension) return undefined;
    const sizes = [first, second].map(({ attrs }) => compare.type.dims[attrs.dimension] ?? keys);
    // Of n × n blocks, (n + 1) / 2n are on or below the diagonal; of the last m rows of blocks, more.
    const [m, n] = [blocksOf(Math.min(...sizes)), blocksOf(keys)];
    return 1 - (m - 1) / (2 * n);
  }
  return shareOfOrder(graph, compare);
}

const blocksOf = (positions: number): number => Math.max(1, Math.ceil(positions / block));
const valueAt = (graph: Graph, id: ValueId): Value => ensure(graph.values[id], "value");

/** The comparison of positions on which a mask depends. */
function maskOf(graph: Graph, id: ValueId): Extract<Value, { op: "compare" }> | undefined {
  const value = valueAt(graph, id);
  const [first] = value.inputs;
  if (value.op !== "compare") return first !== undefined && ops[value.op].preserves.includes("mask") ? maskOf(graph, first) : undefined;
  return value.attrs.direction === "EQ" || value.attrs.direction === "NE" ? undefined : value;
}

/** The iota of a value. The search goes through offsets, which a part of a sequence adds to its positions. */
function iotaOf(graph: Graph, id: ValueId | undefined): Value | undefined {
  if (id === undefined) return undefined;
  const value = valueAt(graph, id);
  if (value.op === "iota") return value;
  return ops[value.op].preserves.includes("positions") ? iotaOf(graph, value.inputs[0]) : undefined;
}

/** Of keys and queries in an order that is an array of positions each. */
function shareOfOrder(graph: Graph, compare: Extract<Value, { op: "compare" }>): number | undefined {
  const { mesh } = graph;
  const [keys, queries] = compare.inputs.map((id) => orderOf(graph, id));
  if (mesh === undefined || keys === undefined || queries === undefined) return undefined;
  const shares = new Map<number, number>();
  const atoms = ensure(queries.sharding, "sharding").dims[0] ?? [];
  for (let chip = 0; chip < meshSize(mesh); chip++) {
    const part = shardIndex(mesh, chip, atoms);
    if (shares.has(part)) continue;
    const [ofKeys, ofQueries] = [keys, queries].map((value) => evaluateOn(graph, value.id, chip, mesh));
    if (ofKeys === undefined || ofQueries === undefined) return undefined;
    shares.set(part, visibleShare(ofQueries.data, ofKeys.data));
  }
  return Math.max(...shares.values());
}

/** The positions [n] that a value repeats along its other dims. */
function orderOf(graph: Graph, id: ValueId): Value | undefined {
  const value = valueAt(graph, id);
  if (value.op !== "broadcast_in_dim") return undefined;
  const order = valueAt(graph, ensure(value.inputs[0], "operand"));
  return order.type.dims.length === 1 ? order : undefined;
}

/** The share of pairs of blocks in which a query sees a key. */
function visibleShare(queries: ArrayLike<number>, keys: ArrayLike<number>): number {
  const extremes = (positions: ArrayLike<number>, of: (...values: number[]) => number): number[] =>
    Array.from({ length: blocksOf(positions.length) }, (_, i) => of(...Array.from(positions).slice(i * block, (i + 1) * block)));
  const [latest, earliest] = [extremes(queries, Math.max), extremes(keys, Math.min)];
  const visible = latest.reduce((sum, query) => sum + earliest.filter((key) => key <= query).length, 0);
  return visible / (latest.length * earliest.length);
}

/** A value that depends on no input, on one chip; undefined if it depends on one. */
function evaluateOn(graph: Graph, id: ValueId, chip: number, mesh: Mesh): Tensor | undefined {
  const value = valueAt(graph, id);
  const { evaluate } = opDef<OpName>(value.op);
  if (value.op === "iota") {
    const { dimension } = value.attrs;
    const size = value.type.dims[dimension] ?? 1;
    const from = shardIndex(mesh, chip, value.sharding?.dims[dimension] ?? []) * size;
    const local = ensure(evaluate, "meaning")([], value.attrs, value.type);
    return tensor(
      local.dtype,
      local.dims,
      local.data.map((index) => index + from),
    );
  }
  if (evaluate === null || (value.inputs.length === 0 && value.op !== "constant")) return undefined;
  const inputs: Tensor[] = [];
  for (const input of value.inputs) {
    const operand = evaluateOn(graph, input, chip, mesh);
    if (operand === undefined) return undefined;
    inputs.push(operand);
  }
  return evaluate(inputs, value.attrs, value.type);
}
