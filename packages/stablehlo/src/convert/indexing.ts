import { sizeOf, stridesOf, tensorType, type Value } from "@lapidary/ir";
import { bodyOf, dimensionLists, integers } from "./attribute-values.js";
import { combinerOf } from "./contraction.js";
import { type Item, numbersOf, sequenceOf, uniform, uniformOf } from "./item.js";
import { type Converter, type OpContext, Unconvertible } from "./lowering.js";
import { broadcast, dynamicSliceItem, sliceItem, updateItem } from "./shape.js";

/**
 * How indices select parts of an operand, for `gather` and `scatter` alike. Each dim of the operand is one of three kinds:
 *
 * - `window`: the part has the whole dim;
 * - `index`: the part has one element, at a component of the index;
 * - `batch`: the part has one element, at the position of a dim of the indices. The component of the index is an iota, or the
 *   text names the dim a batching dim.
 */
interface Indexing {
  readonly operandDims: readonly number[];
  /** Dims of the indices without the dim of the components. */
  readonly indexDims: readonly number[];
  readonly windowDims: readonly number[];
  /** Operand dim → the indices, one for each part, as i32 of `indexDims`. */
  readonly components: ReadonlyMap<number, Item>;
  /** Operand dim → dim of `indexDims`. */
  readonly batch: ReadonlyMap<number, number>;
  /** Dims of the result (or of the updates) that are window dims, in the order of `windowDims`. */
  readonly offsetDims: readonly number[];
}

interface Numbers {
  readonly offset: readonly number[];
  readonly collapsed: readonly number[];
  readonly operandBatch: readonly number[];
  readonly indicesBatch: readonly number[];
  readonly map: readonly number[];
  readonly vector: number | undefined;
}

/** Every index is one element of each indexed dim, and whole other dims. Otherwise undefined. */
function indexingOf(
  c: OpContext,
  operandDims: readonly number[],
  indices: Item,
  numbers: Numbers,
  sizes: readonly number[],
): Indexing | undefined {
  const vector = numbers.vector ?? 0;
  const indexDims = indices.dims.filter((_, d) => d !== vector);
  const windowDims = operandDims.map((_, d) => d).filter((d) => !numbers.collapsed.includes(d) && !numbers.operandBatch.includes(d));
  if (windowDims.some((d) => sizes[d] !== operandDims[d])) return undefined;
  const withoutVector = (d: number): number => (d > vector ? d - 1 : d);
  const batch = new Map(numbers.operandBatch.map((d, i) => [d, withoutVector(numbers.indicesBatch[i] ?? 0)]));
  const components = new Map<number, Item>();
  numbers.map.forEach((d, i) => {
    // A window that has the whole dim starts at its first element.
    if (windowDims.includes(d)) return;
    const component = componentOf(c, indices, vector, i, indexDims);
    const along = iotaDim(component, operandDims[d] ?? 0);
    if (along !== undefined && ![...batch.values()].includes(along)) batch.set(d, along);
    else components.set(d, component);
  });
  return { operandDims, indexDims, windowDims, components, batch, offsetDims: numbers.offset };
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
const isOneHot = ({ indexDims, batch, components }: Indexing): boolean => {
  const covered = new Set(batch.values());
  return batch.size > 0 && components.size > 0 && indexDims.every((n, d) => covered.has(d) || n === 1);
};

/**
 * The pred array that is true where an index selects an element, over all dims of the operand but window dims.
 * Dims: those of `batch` and `components`, in the order of the operand.
 */
function hits(c: OpContext, indexing: Indexing): { mask: Value; dims: readonly number[] } {
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

const clampIndex = (c: OpContext, item: Item, size: number): Item => {
  const data = numbersOf(item);
  if (data !== undefined)
    return {
      element: item.element,
      dims: item.dims,
      kind: "known",
      known: { kind: "data", data: data.map((v) => Math.min(Math.max(0, v), size - 1)) },
    };
  const ids = c.b.convert(c.low.value(item), "i32");
  return c.low.item("i32", c.b.minimum(c.b.maximum(ids, c.b.splat(0, ids.type)), c.b.splat(size - 1, ids.type)));
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
  const found = indexingOf(c, x.dims, indices, numbers, sizes);
  if (found === undefined) throw new Unconvertible("a gather of windows is not supported");
  const indexing = { ...found, components: new Map([...found.components].map(([d, item]) => [d, clampIndex(c, item, x.dims[d] ?? 1)])) };
  const whole = isOneHot(indexing) ? gatherOneHot(c, c.low.value(x), indexing) : gatherRows(c, c.low.value(x), indexing);
  return c.results(placeOffsets(c, whole, indexing));
};

/** Starts of all dims of the operand, from one vector of indices. */
function startsOf(c: OpContext, x: Item, indices: Item, map: readonly number[]): Item[] {
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
function placeOffsets(c: OpContext, value: Value, { indexDims, windowDims, offsetDims }: Indexing): Value {
  const rank = indexDims.length + windowDims.length;
  const order: number[] = [];
  let [next, window] = [0, 0];
  for (let d = 0; d < rank; d++) order.push(offsetDims.includes(d) ? indexDims.length + window++ : next++);
  return c.b.transpose(value, order);
}

/** The inverse of `placeOffsets`. */
function takeOffsets(c: OpContext, value: Value, { indexDims, windowDims, offsetDims }: Indexing): Value {
  const rank = indexDims.length + windowDims.length;
  const batch = Array.from({ length: rank }, (_, d) => d).filter((d) => !offsetDims.includes(d));
  return c.b.transpose(value, [...batch, ...offsetDims]);
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

/** Rows of the operand, whose indexed dims come first and are one dim. */
function gatherRows(c: OpContext, x: Value, indexing: Indexing): Value {
  const { dims, ids, rows } = rowIndices(c, indexing);
  const windows = indexing.windowDims.map((d) => indexing.operandDims[d] ?? 0);
  const table = c.b.reshape(c.b.transpose(x, [...dims, ...indexing.windowDims]), [rows, ...windows]);
  return c.b.gather(table, ids);
}

/** The number of the row of each index, if the indexed dims of the operand are one dim. */
function rowIndices(c: OpContext, { operandDims, indexDims, components, batch }: Indexing): { dims: number[]; ids: Value; rows: number } {
  const dims = [...components.keys(), ...batch.keys()].sort((a, b) => a - b);
  let ids: Value | undefined;
  let stride = 1;
  for (const d of [...dims].reverse()) {
    const along = batch.get(d);
    const component = components.get(d);
    const own = component === undefined ? c.b.iota(tensorType("i32", indexDims), along ?? 0) : c.b.convert(c.low.value(component), "i32");
    const scaled = stride === 1 ? own : c.b.scale(own, stride);
    ids = ids === undefined ? scaled : c.b.add(scaled, ids);
    stride *= operandDims[d] ?? 1;
  }
  if (ids === undefined) throw new Unconvertible("it has no index");
  return { dims, ids, rows: stride };
}

const scatter: Converter = (c) => {
  if (c.args.length !== 3) throw new Unconvertible("a scatter of several arrays is not supported");
  const lists = dimensionLists(bodyOf(c.op.attributes.get("scatter_dimension_numbers")));
  const inserted = lists.list("inserted_window_dims");
  const numbers: Numbers = {
    offset: lists.list("update_window_dims"),
    collapsed: inserted,
    operandBatch: lists.list("input_batching_dims"),
    indicesBatch: lists.list("scatter_indices_batching_dims"),
    map: lists.list("scatter_dims_to_operand_dims"),
    vector: lists.number("index_vector_dim"),
  };
  const combiner = combinerOf(c.op.regions[0]);
  if (combiner !== "add" && combiner !== "second") throw new Unconvertible("its combiner is neither an addition nor a replacement");
  const [x, indices, updates] = [c.arg(0), c.arg(1), c.arg(2)];
  let window = 0;
  const sizes = x.dims.map((_, d) =>
    inserted.includes(d) || numbers.operandBatch.includes(d) ? 1 : (updates.dims[numbers.offset[window++] ?? 0] ?? 0),
  );
  if (indices.dims.length <= 1 && numbers.operandBatch.length === 0)
    return c.results(scatterOne(c, x, startsOf(c, x, indices, numbers.map), updates, sizes, combiner));
  const indexing = indexingOf(c, x.dims, indices, numbers, sizes);
  if (indexing === undefined) throw new Unconvertible("a scatter of windows is not supported");
  const parts = takeOffsets(c, c.low.value(updates), indexing);
  if (isOneHot(indexing)) return c.results(scatterOneHot(c, c.low.value(x), indexing, parts, combiner));
  if (combiner !== "add")
    throw new Unconvertible("a scatter that replaces elements at computed indices is supported only with one index for each batch element");
  const sum = scatterRows(c, indexing, parts);
  return c.results(uniformOf(x) === 0 ? sum : c.b.add(c.low.value(x), sum));
};

/** One part of the operand: a slice, which is replaced or increased. Indices outside of the operand change nothing in StableHLO; JAX masks them. */
function scatterOne(
  c: OpContext,
  x: Item,
  starts: readonly Item[],
  updates: Item,
  sizes: readonly number[],
  combiner: "add" | "second",
): Item {
  for (const [d, start] of starts.entries()) {
    const at = uniformOf(start);
    if (at !== undefined && (at < 0 || at + (sizes[d] ?? 0) > (x.dims[d] ?? 0))) return x;
  }
  const shaped =
    updates.kind === "known" && updates.known.kind === "uniform"
      ? uniform({ element: updates.element, dims: sizes }, updates.known.value)
      : c.low.item(updates.element, c.b.reshape(c.low.value(updates), sizes));
  if (combiner === "second" || uniformOf(x) === 0) return updateItem(c, x, shaped, starts);
  const old = dynamicSliceItem(c, x, sizes, starts);
  return updateItem(c, x, c.low.item(x.element, c.b.add(c.low.value(old), c.low.value(shaped))), starts);
}

function scatterOneHot(c: OpContext, x: Value, indexing: Indexing, parts: Value, combiner: "add" | "second"): Value {
  const { mask, dims } = hits(c, indexing);
  const covered = [...indexing.batch].sort((a, b) => a[1] - b[1]).map(([d]) => d);
  const from = [...covered, ...indexing.windowDims];
  const squeezed = c.b.reshape(
    parts,
    from.map((d) => x.type.dims[d] ?? 0),
  );
  const spread = broadcast(c, squeezed, x.type.dims, from);
  const where = broadcast(c, mask, x.type.dims, dims);
  return combiner === "second" ? c.b.select(where, spread, x) : addUnlessZero(c, x, c.b.select(where, spread, c.b.splat(0, spread.type)));
}

const addUnlessZero = (c: OpContext, x: Value, y: Value): Value => (x.op === "constant" && x.attrs.value === 0 ? y : c.b.add(x, y));

function scatterRows(c: OpContext, indexing: Indexing, parts: Value): Value {
  const { dims, ids, rows } = rowIndices(c, indexing);
  const sizes = [...dims, ...indexing.windowDims].map((d) => indexing.operandDims[d] ?? 0);
  const inside = insideOf(c, indexing, ids);
  const table = c.b.reshape(c.b.scatter(inside, parts, rows), sizes);
  const order = [...dims, ...indexing.windowDims];
  return c.b.transpose(
    table,
    order.map((_, d) => order.indexOf(d)),
  );
}

/** Row −1, which a scatter drops, for indices with a component outside of its dim. One component needs no test. */
function insideOf(c: OpContext, { operandDims, components, batch }: Indexing, ids: Value): Value {
  if (components.size + batch.size < 2) return ids;
  let inside = ids;
  for (const [d, component] of components) {
    const own = c.b.convert(c.low.value(component), "i32");
    const none = c.b.splat(-1, ids.type);
    inside = c.b.select(c.b.compare(own, c.b.splat(0, own.type), "LT"), none, inside);
    inside = c.b.select(c.b.compare(own, c.b.splat(operandDims[d] ?? 0, own.type), "GE"), none, inside);
  }
  return inside;
}

export const indexingConverters: Readonly<Record<string, Converter>> = { gather, scatter };
