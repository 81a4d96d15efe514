import { type Graph, opDef, type OpName, ops, type Tensor, tensor, type Value, type ValueId } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { type Mesh, meshSize, shardIndex } from "@lapidary/topology";

/** Rows and columns of a block of scores in TPU kernels. */
const block = 512;

/**
 * The share of the score blocks that a causal mask does not hide, on the chip where it is largest: all chips wait for that one. A chip with
 * the last c of S positions has more work than the others, unless the positions are in balanced order.
 */
export class MaskShares {
  readonly #graph: Graph;
  /** By comparison of two arrays of positions, which the kernels of all layers read. */
  readonly #ofOrders = new Map<ValueId, number | undefined>();

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  /**
   * @param of a value that may depend on a mask
   * @param keys S, the keys of each query
   * @returns undefined if the value does not depend on a causal mask
   */
  visible(of: ValueId, keys: number): number | undefined {
    const graph = this.#graph;
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
    if (!this.#ofOrders.has(compare.id)) this.#ofOrders.set(compare.id, shareOfOrder(graph, compare));
    return this.#ofOrders.get(compare.id);
  }
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
  const earliestOn = extremesByChip(graph, mesh, keys, Math.min);
  const latestOn = extremesByChip(graph, mesh, queries, Math.max);
  let largest = 0;
  for (let chip = 0; chip < meshSize(mesh); chip++) {
    const [earliest, latest] = [earliestOn(chip), latestOn(chip)];
    if (earliest === undefined || latest === undefined) return undefined;
    const visible = latest.reduce((sum, query) => sum + earliest.filter((key) => key <= query).length, 0);
    largest = Math.max(largest, visible / (latest.length * earliest.length));
  }
  return largest;
}

/** The positions [n] that a value repeats along its other dims. */
function orderOf(graph: Graph, id: ValueId): Value | undefined {
  const value = valueAt(graph, id);
  if (value.op !== "broadcast_in_dim") return undefined;
  const order = valueAt(graph, ensure(value.inputs[0], "operand"));
  return order.type.dims.length === 1 ? order : undefined;
}

/**
 * The earliest or the latest position of each block of an order, on a chip. Chips with the same part share the result, which is undefined if the order
 * depends on an input.
 */
function extremesByChip(
  graph: Graph,
  mesh: Mesh,
  order: Value,
  of: (...positions: number[]) => number,
): (chip: number) => readonly number[] | undefined {
  const atoms = ensure(order.sharding, "sharding").dims[0] ?? [];
  const known = new Map<number, readonly number[] | undefined>();
  return (chip) => {
    const part = shardIndex(mesh, chip, atoms);
    if (!known.has(part)) {
      const positions = evaluateOn(graph, order.id, chip, mesh)?.data;
      const blocks = positions === undefined ? [] : Array.from({ length: blocksOf(positions.length) }, (_, i) => i * block);
      known.set(part, positions === undefined ? undefined : blocks.map((start) => of(...positions.slice(start, start + block))));
    }
    return known.get(part);
  };
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
