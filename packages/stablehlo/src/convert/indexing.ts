import { sizeOf, stridesOf, tensorType, type Value } from "@lapidary/ir";
import { bodyOf, dimensionLists, integers } from "./attribute-values.js";

import { type Item, numbersOf, sequenceOf, uniform, uniformOf } from "./item.js";
import { type Converter, type OpContext, Unconvertible } from "./lowering.js";
import { broadcast, broadcastItem, dynamicSliceItem, sliceItem } from "./shape.js";

/**
 * How indices select parts of an operand, for `gather` and `scatter` alike. Each dim of the operand is one of three kinds:
 *
 * - `window`: the part has the whole dim;
 * - `index`: the part has one element, at a component of the index. A part of several elements of a dim is one part for each of
 *   them: the indices get a dim, along which the component counts;
 * - `batch`: the part has one element, at the position of a dim of the indices. The component of the index is an iota, or the
 *   text names the dim a batching dim.
 */
export interface Indexing {
  readonly operandDims: readonly number[];
  /** Dims of the indices without the dim of the components, then one for each operand dim of `partial`. */
  readonly indexDims: readonly number[];
  /** Operand dims of which a part has several elements, but not all. */
  readonly partial: readonly number[];
  readonly windowDims: readonly number[];
  /** Operand dim → the indices, one for each part, as i32 of `indexDims`. */
  readonly components: ReadonlyMap<number, Item>;
  /** Operand dim → dim of `indexDims`. */
  readonly batch: ReadonlyMap<number, number>;
  /** Dims of the result (or of the updates) that are dims of the parts, and the operand dim of each. */
  readonly offsetDims: readonly number[];
  readonly offsetOf: readonly number[];
  /** Where all elements of the part are in the operand; undefined if no index is computed. Over the dims of the indices without those of `partial`. */
  readonly inside: () => Value | undefined;
}

export interface Numbers {
  readonly offset: readonly number[];
  readonly collapsed: readonly number[];
  readonly operandBatch: readonly number[];
  readonly indicesBatch: readonly number[];
  readonly map: readonly number[];
  readonly vector: number | undefined;
}

/** How the indices of an operation select parts of `sizes`. A gather moves parts into the operand, a scatter drops those that are not inside. */
export function indexingOf(
  c: OpContext,
  operandDims: readonly number[],
  indices: Item,
  numbers: Numbers,
  sizes: readonly number[],
  outside: "clamp" | "drop",
): Indexing {
  const vector = numbers.vector ?? 0;
  const ownDims = indices.dims.filter((_, d) => d !== vector);
  const offsetOf = operandDims.map((_, d) => d).filter((d) => !numbers.collapsed.includes(d) && !numbers.operandBatch.includes(d));
  const partial = offsetOf.filter((d) => sizes[d] !== operandDims[d]);
  const windowDims = offsetOf.filter((d) => !partial.includes(d));
  const indexDims = [...ownDims, ...partial.map((d) => sizes[d] ?? 1)];
  const withoutVector = (d: number): number => (d > vector ? d - 1 : d);
  const batch = new Map(numbers.operandBatch.map((d, i) => [d, withoutVector(numbers.indicesBatch[i] ?? 0)]));
  const starts = new Map<number, Item>(partial.map((d) => [d, uniform({ element: "i32", dims: ownDims }, 0)]));
  const lastStart = (d: number): number => (operandDims[d] ?? 1) - (offsetOf.includes(d) ? (sizes[d] ?? 1) : 1);
  numbers.map.forEach((d, i) => {
    // A window that has the whole dim starts at its first element.
    if (windowDims.includes(d)) return;
    const component = componentOf(c, indices, vector, i, ownDims);
    const along = partial.includes(d) ? undefined : iotaDim(component, operandDims[d] ?? 0);
    if (along !== undefined && ![...batch.values()].includes(along)) batch.set(d, along);
    else starts.set(d, outside === "clamp" ? clampIndex(c, component, lastStart(d)) : component);
  });
  const components = new Map([...starts].map(([d, start]) => [d, spreadIndex(c, start, indexDims, ownDims.length + partial.indexOf(d))]));
  return {
    operandDims,
    indexDims,
    partial,
    windowDims,
    components,
    batch,
    offsetDims: numbers.offset,
    offsetOf,
    inside: () => insideOf(c, starts, lastStart),
  };
}

/** Starts of parts with one more dim for each partial dim. Along the `counted` one, the index counts from the start. */
function spreadIndex(c: OpContext, start: Item, dims: readonly number[], counted: number): Item {
  const rank = start.dims.length;
  const spread = broadcastItem(
    c,
    start,
    { element: start.element, dims },
    start.dims.map((_, d) => d),
  );
  if (counted < rank) return spread;
  const type = tensorType("i32", dims);
  const known = uniformOf(start);
  const iota = c.b.iota(type, counted);
  if (known !== undefined) return c.low.item("i32", known === 0 ? iota : c.b.offset(iota, known));
  return c.low.item("i32", c.b.add(c.b.convert(c.low.value(spread), "i32"), iota));
}

/** Where every component is a start from which the part is in the operand. */
function insideOf(c: OpContext, starts: ReadonlyMap<number, Item>, lastStart: (d: number) => number): Value | undefined {
  let inside: Value | undefined;
  for (const [d, start] of starts) {
    const data = numbersOf(start);
    if (data?.every((v) => v >= 0 && v <= lastStart(d))) continue;
    const own = c.b.convert(c.low.value(start), "i32");
    const fits = c.b.and(c.b.compare(own, c.b.splat(0, own.type), "GE"), c.b.compare(own, c.b.splat(lastStart(d), own.type), "LE"));
    inside = inside === undefined ? fits : c.b.and(inside, fits);
  }
  return inside;
}

function componentOf(c: OpContext, indices: Item, vector: number, i: number, dims: readonly number[]): Item {
  if (vector >= indices.dims.length) return indices;
  const one = sliceItem(
    c,
    indices,
    indices.dims.map((_, d) => (d === vector ? i : 0)),
    indices.dims.map((n, d) => (d === vector ? i + 1 : n)),
    indices.dims.map(() => 1),
  );
  const data = numbersOf(one);
  if (data !== undefined) return { element: one.element, dims, kind: "known", known: { kind: "data", data } };
  const iota = iotaComponent(c, one, dims);
  return iota ?? c.low.item(one.element, c.b.reshape(c.low.value(one), dims));
}

/** A component that is an iota although it was joined with others: the slice of a concatenation is the part itself. */
function iotaComponent(c: OpContext, one: Item, dims: readonly number[]): Item | undefined {
  if (one.kind !== "value" || one.value.op !== "slice") return undefined;
  const joined = c.b.get(one.value.inputs[0] ?? 0);
  if (joined.op !== "concatenate") return undefined;
  const { dimension } = joined.attrs;
  let at = one.value.attrs.start[dimension] ?? 0;
  for (const id of joined.inputs) {
    const part = c.b.get(id);
    const size = part.type.dims[dimension] ?? 0;
    if (at >= size) {
      at -= size;
      continue;
    }
    if (at !== 0 || size !== 1) return undefined;
    const data = knownValue(c, part);
    return data === undefined
      ? c.low.item(one.element, c.b.reshape(part, dims))
      : { element: one.element, dims, kind: "known", known: { kind: "data", data } };
  }
  return undefined;
}

/** The numbers of an iota that the graph contains, through reshapes and broadcasts. */
function knownValue(c: OpContext, value: Value): Float64Array | undefined {
  if (sizeOf(value.type.dims) > 1 << 16) return undefined;
  if (value.op === "iota") {
    const [stride, n] = [stridesOf(value.type.dims)[value.attrs.dimension] ?? 1, value.type.dims[value.attrs.dimension] ?? 1];
    return Float64Array.from({ length: sizeOf(value.type.dims) }, (_, i) => Math.floor(i / stride) % n);
  }
  if (value.op === "reshape") return knownValue(c, c.b.get(value.inputs[0] ?? 0));
  return undefined;
}

/** The dim along which a component counts 0, 1, … to the size of the operand's dim. */
function iotaDim(component: Item, size: number): number | undefined {
  const data = component.kind === "known" && component.known.kind === "data" ? component.known.data : undefined;
  const sequence = data === undefined ? undefined : sequenceOf(component.dims, data);
  return sequence !== undefined && sequence.first === 0 && sequence.step === 1 && component.dims[sequence.dimension] === size
    ? sequence.dimension
    : undefined;
}

/** Whether each part belongs to its own batch element, apart from index dims of size 1. Then a comparison with an iota selects it. */
export const isOneHot = ({ indexDims, batch, components }: Indexing): boolean => {
  const covered = new Set(batch.values());
  return batch.size > 0 && components.size > 0 && indexDims.every((n, d) => covered.has(d) || n === 1);
};

/**
 * The pred array that is true where an index selects an element, over all dims of the operand but window dims.
 * Dims: those of `batch` and `components`, in the order of the operand.
 */
export function hits(c: OpContext, indexing: Indexing): { mask: Value; dims: readonly number[] } {
  const dims = indexing.operandDims.map((_, d) => d).filter((d) => !indexing.windowDims.includes(d));
  const shape = dims.map((d) => indexing.operandDims[d] ?? 0);
  let mask: Value | undefined;
  for (const [d, component] of indexing.components) {
    const ids = alignIndices(c, indexing, c.low.value(component), dims, shape);
    const one = c.b.compare(ids, c.b.iota(tensorType("i32", shape), dims.indexOf(d)), "EQ");
    mask = mask === undefined ? one : c.b.and(mask, one);
  }
  if (mask === undefined) throw new Unconvertible("it has no computed index");
  return { mask, dims };
}

/** Indices of `indexDims` spread over the dims of the operand: index dims that a batch dim covers, in the order of the operand. */
function alignIndices(c: OpContext, { indexDims, batch }: Indexing, ids: Value, dims: readonly number[], shape: readonly number[]): Value {
  const covered = indexDims.map((_, i) => i).filter((i) => [...batch.values()].includes(i));
  const squeezed = c.b.reshape(
    ids,
    covered.map((i) => indexDims[i] ?? 1),
  );
  const map = covered.map((i) => dims.indexOf([...batch].find(([, at]) => at === i)?.[0] ?? -1));
  return broadcast(c, squeezed, shape, map);
}

const clampIndex = (c: OpContext, item: Item, most: number): Item => {
  const data = numbersOf(item);
  if (data !== undefined)
    return {
      element: item.element,
      dims: item.dims,
      kind: "known",
      known: { kind: "data", data: data.map((v) => Math.min(Math.max(0, v), most)) },
    };
  const ids = c.b.convert(c.low.value(item), "i32");
  return c.low.item("i32", c.b.minimum(c.b.maximum(ids, c.b.splat(0, ids.type)), c.b.splat(most, ids.type)));
};

const gather: Converter = (c) => {
  const lists = dimensionLists(bodyOf(c.op.attributes.get("dimension_numbers")));
  const numbers: Numbers = {
    offset: lists.list("offset_dims"),
    collapsed: lists.list("collapsed_slice_dims"),
    operandBatch: lists.list("operand_batching_dims"),
    indicesBatch: lists.list("start_indices_batching_dims"),
    map: lists.list("start_index_map"),
    vector: lists.number("index_vector_dim"),
  };
  const [x, indices] = [c.arg(0), c.arg(1)];
  const sizes = integers(c.op, "slice_sizes") ?? [];
  if (indices.dims.length <= 1 && numbers.operandBatch.length === 0) {
    const starts = startsOf(c, x, indices, numbers.map);
    const part = dynamicSliceItem(c, x, sizes, starts);
    const dims = c.result().dims;
    return c.results(part.kind === "known" ? { ...part, dims } : c.b.reshape(c.low.value(part), dims));
  }
  const indexing = indexingOf(c, x.dims, indices, numbers, sizes, "clamp");
  const whole = isOneHot(indexing) ? gatherOneHot(c, c.low.value(x), indexing) : gatherRows(c, c.low.value(x), indexing);
  return c.results(placeOffsets(c, whole, indexing));
};

/** Starts of all dims of the operand, from one vector of indices. */
export function startsOf(c: OpContext, x: Item, indices: Item, map: readonly number[]): Item[] {
  return x.dims.map((_, d) => {
    const i = map.indexOf(d);
    if (i < 0) return uniform({ element: "i32", dims: [] }, 0);
    const one = indices.dims.length === 0 ? indices : sliceItem(c, indices, [i], [i + 1], [1]);
    const value = uniformOf(one);
    return value === undefined
      ? c.low.item(one.element, c.b.reshape(c.low.value(one), []))
      : uniform({ element: one.element, dims: [] }, value);
  });
}

/** Index dims, then window dims → the order of the result. */
const placeOffsets = (c: OpContext, value: Value, indexing: Indexing): Value => c.b.transpose(value, orderOfParts(indexing));

/** The inverse of `placeOffsets`. */
export function takeOffsets(c: OpContext, value: Value, indexing: Indexing): Value {
  const order = orderOfParts(indexing);
  return c.b.transpose(
    value,
    order.map((_, d) => order.indexOf(d)),
  );
}

/** By dim of the result, its place among index dims and window dims. */
function orderOfParts({ indexDims, windowDims, partial, offsetDims, offsetOf }: Indexing): number[] {
  const own = indexDims.length - partial.length;
  let next = 0;
  return Array.from({ length: indexDims.length + windowDims.length }, (_, r) => {
    const d = offsetOf[offsetDims.indexOf(r)];
    if (!offsetDims.includes(r) || d === undefined) return next++;
    return partial.includes(d) ? own + partial.indexOf(d) : indexDims.length + windowDims.indexOf(d);
  });
}

/** `select(iota == index, x, 0)` summed over the indexed dims. On a split dim every chip has the sum over its part. */
function gatherOneHot(c: OpContext, x: Value, indexing: Indexing): Value {
  const { mask, dims } = hits(c, indexing);
  const chosen = c.b.select(broadcast(c, mask, x.type.dims, dims), x, c.b.splat(0, x.type));
  const reduced = c.b.reduce(
    chosen,
    [...indexing.components.keys()].sort((a, b) => a - b),
    "sum",
  );
  const kept = indexing.operandDims.map((_, d) => d).filter((d) => !indexing.components.has(d));
  const covered = [...indexing.batch].sort((a, b) => a[1] - b[1]);
  const ordered = c.b.transpose(reduced, [...covered.map(([d]) => kept.indexOf(d)), ...indexing.windowDims.map((d) => kept.indexOf(d))]);
  return c.b.reshape(ordered, [...indexing.indexDims, ...indexing.windowDims.map((d) => indexing.operandDims[d] ?? 0)]);
}

/** Rows of a table for each batch element. The indexed dims of the operand are the one dim of its rows. */
function gatherRows(c: OpContext, x: Value, indexing: Indexing): Value {
  const { batch, indexed, ids, rows, order } = rowIndices(c, indexing);
  const dims = [...batch, ...indexed, ...indexing.windowDims];
  const sizes = [...batch.map((d) => indexing.operandDims[d] ?? 0), rows, ...indexing.windowDims.map((d) => indexing.operandDims[d] ?? 0)];
  const found = c.b.gather(c.b.reshape(c.b.transpose(x, dims), sizes), ids, batch.length);
  const windows = indexing.windowDims.map((_, i) => order.length + i);
  return c.b.transpose(found, [...order.map((_, d) => order.indexOf(d)), ...windows]);
}

/**
 * The number of the row of each index in the table of its batch element. `order` are the dims of the indices, with those of the batch first:
 * `ids` have this order.
 */
export function rowIndices(
  c: OpContext,
  { operandDims, indexDims, components, batch }: Indexing,
): { batch: readonly number[]; indexed: readonly number[]; ids: Value; rows: number; order: readonly number[] } {
  const covered = [...batch].sort((a, b) => a[1] - b[1]);
  const rest = indexDims.map((_, i) => i).filter((i) => !covered.some(([, at]) => at === i));
  const order = [...covered.map(([, at]) => at), ...rest];
  const indexed = [...components.keys()].sort((a, b) => a - b);
  let ids: Value | undefined;
  let stride = 1;
  for (const d of [...indexed].reverse()) {
    const own = c.b.convert(c.low.value(components.get(d) ?? uniform({ element: "i32", dims: indexDims }, 0)), "i32");
    const scaled = stride === 1 ? own : c.b.scale(own, stride);
    ids = ids === undefined ? scaled : c.b.add(scaled, ids);
    stride *= operandDims[d] ?? 1;
  }
  const all = ids ?? c.b.splat(0, tensorType("i32", indexDims));
  return { batch: covered.map(([d]) => d), indexed, ids: c.b.transpose(all, order), rows: stride, order };
}

export const indexingConverters: Readonly<Record<string, Converter>> = { gather };
