import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import type { Operation } from "../text/syntax.js";
import { bodyOf, integer } from "./attribute-values.js";
import { isUnsigned } from "./item.js";
import { type Converter, Unconvertible } from "./lowering.js";

/** Elements of the sorted dim. The conversion compares each with each. */
const maxSorted = 1024;

/**
 * A sort by one key. The rank of an element is the number of elements before it, and the result has each element at its rank:
 *
 *     rank[i] = Σ_j (x[j] < x[i]  or  x[j] = x[i] and j < i)          y[r] = Σ_i (rank[i] = r ? x[i] : 0)
 *
 * The order of NaN is not that of JAX.
 */
const sort: Converter = (c) => {
  const { key, isAscending } = orderOf(c.op);
  const keys = c.value(key);
  const d = integer(c.op, "dimension") ?? 0;
  const { dims } = keys.type;
  const n = dims[d] ?? 1;
  if (isUnsigned(c.arg(key).element) || keys.type.dtype === "pred")
    throw new Unconvertible(`a sort by ${c.arg(key).element} is not supported`);
  if (n > maxSorted) throw new Unconvertible(`a sort of ${n} elements is not supported (at most ${maxSorted})`);
  // The sorted dim is the last one during the conversion. Its own inverse: a swap of two dims.
  const swap = dims.map((_, i) => (i === d ? dims.length - 1 : i === dims.length - 1 ? d : i));
  const rank = ranks(c.b, c.b.transpose(keys, swap), isAscending);
  return c.results(...c.args.map((_, i) => c.b.transpose(placed(c.b, c.b.transpose(c.value(i), swap), rank), swap)));
};

/** Along the last dim, how many elements come before each. */
function ranks(b: GraphBuilder, x: Value, isAscending: boolean): Value {
  const last = x.type.dims.length - 1;
  const pairs = [...x.type.dims, x.type.dims[last] ?? 1];
  const outer = x.type.dims.slice(0, last).map((_, i) => i);
  const own = b.broadcastInDim(x, pairs, [...outer, last]);
  const other = b.broadcastInDim(x, pairs, [...outer, last + 1]);
  const type = tensorType("i32", pairs);
  const isEarlier = b.compare(b.iota(type, last + 1), b.iota(type, last), "LT");
  const none = b.splat(0, isEarlier.type);
  const tie = b.select(b.compare(other, own, "EQ"), isEarlier, none);
  const isBefore = b.select(b.compare(other, own, isAscending ? "LT" : "GT"), b.splat(1, none.type), tie);
  return b.reduce(b.select(isBefore, b.splat(1, type), b.splat(0, type)), [last + 1], "sum");
}

/** The elements of the last dim at their ranks. */
function placed(b: GraphBuilder, x: Value, rank: Value): Value {
  if (x.type.dtype === "pred") return b.compare(placed(b, b.convert(x, "i32"), rank), b.splat(0, rank.type), "NE");
  const last = x.type.dims.length - 1;
  const pairs = [...x.type.dims, x.type.dims[last] ?? 1];
  const at = [...x.type.dims.slice(0, last).map((_, i) => i), last + 1];
  const isHere = b.compare(b.broadcastInDim(rank, pairs, at), b.iota(tensorType("i32", pairs), last), "EQ");
  const type = tensorType(x.type.dtype, pairs);
  return b.reduce(b.select(isHere, b.broadcastInDim(x, pairs, at), b.splat(0, type)), [last + 1], "sum");
}

/** The operand that the comparator reads, and its direction. */
function orderOf({ regions: [region] }: Operation): { readonly key: number; readonly isAscending: boolean } {
  const block = region?.blocks[0];
  const result = block?.operations.at(-1)?.operands[0]?.name;
  const compare = block?.operations.find((op) => op.results.some(({ name }) => name === result));
  const direction = compare === undefined ? "" : bodyOf(compare.attributes.get("comparison_direction"));
  const ascends = /\bL[TE]\b/.test(direction);
  if (block === undefined || compare?.name !== "stablehlo.compare" || !/\b[LG][TE]\b/.test(direction))
    throw new Unconvertible("its comparator is not one comparison of one operand");
  const args = new Map(block.arguments.map(({ name }, i) => [name, i]));
  const reach = (name: string, depth: number): readonly number[] => {
    const own = args.get(name);
    if (own !== undefined) return [own];
    const made = block.operations.find((op) => op.results.some((each) => each.name === name));
    return depth > 20 || made === undefined ? [] : made.operands.flatMap((use) => reach(use.name, depth + 1));
  };
  const [left, right] = compare.operands.map(({ name }) => new Set(reach(name, 0)));
  const [a, ...others] = left ?? [];
  const [b, ...more] = right ?? [];
  if (a === undefined || b === undefined || others.length + more.length > 0 || Math.abs(a - b) !== 1 || a >> 1 !== b >> 1)
    throw new Unconvertible("its comparator is not one comparison of one operand");
  return { key: a >> 1, isAscending: a < b ? ascends : !ascends };
}

export const sortConverters: Readonly<Record<string, Converter>> = { sort };
