import { sizeOf, tensorType, type Value } from "@lapidary/ir";
import { bodyOf, dimensionLists } from "./attribute-values.js";
import { type Combiner, combinerOf, reduceBy } from "./contraction.js";
import { hits, type Indexing, indexingOf, isOneHot, type Numbers, rowIndices, startsOf, takeOffsets } from "./indexing.js";
import { isUnsigned, type Item, uniform, uniformOf } from "./item.js";
import { type Converter, type OpContext, Unconvertible } from "./lowering.js";
import { broadcast, dynamicSliceItem, updateItem } from "./shape.js";

/** How an update changes an element. "second" replaces it. */
type Update = Combiner | "second";

/** Updates that are compared each with each, to find those of one element. */
const maxUpdates = 4096;
/** Elements of an array over updates and rows. */
const maxPairs = 2 ** 26;

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
  if (combiner === undefined || combiner === "and" || combiner === "or")
    throw new Unconvertible("its combiner is not a replacement, add, multiply, maximum or minimum");
  const [x, indices, updates] = [c.arg(0), c.arg(1), c.arg(2)];
  if (isUnsigned(x.element) && (combiner === "maximum" || combiner === "minimum"))
    throw new Unconvertible(`a scatter by ${combiner} of unsigned integers is not supported`);
  let window = 0;
  const sizes = x.dims.map((_, d) =>
    inserted.includes(d) || numbers.operandBatch.includes(d) ? 1 : (updates.dims[numbers.offset[window++] ?? 0] ?? 0),
  );
  if (indices.dims.length <= 1 && numbers.operandBatch.length === 0)
    return c.results(scatterOne(c, x, startsOf(c, x, indices, numbers.map), updates, sizes, combiner));
  const indexing = indexingOf(c, x.dims, indices, numbers, sizes, "drop");
  const parts = takeOffsets(c, c.low.value(updates), indexing);
  if (isOneHot(indexing)) return c.results(scatterOneHot(c, c.low.value(x), indexing, parts, combiner));
  return c.results(scatterRows(c, x, indexing, parts, combiner));
};

/** One part of the operand: a slice, which is replaced or changed. Indices outside of the operand change nothing in StableHLO; JAX masks them. */
function scatterOne(c: OpContext, x: Item, starts: readonly Item[], updates: Item, sizes: readonly number[], combiner: Update): Item {
  for (const [d, start] of starts.entries()) {
    const at = uniformOf(start);
    if (at !== undefined && (at < 0 || at + (sizes[d] ?? 0) > (x.dims[d] ?? 0))) return x;
  }
  const shaped =
    updates.kind === "known" && updates.known.kind === "uniform"
      ? uniform({ element: updates.element, dims: sizes }, updates.known.value)
      : c.low.item(updates.element, c.b.reshape(c.low.value(updates), sizes));
  if (combiner === "second" || (combiner === "add" && uniformOf(x) === 0)) return updateItem(c, x, shaped, starts);
  const old = dynamicSliceItem(c, x, sizes, starts);
  return updateItem(c, x, c.low.item(x.element, combined(c, c.low.value(old), c.low.value(shaped), combiner)), starts);
}

const combined = (c: OpContext, old: Value, update: Value, combiner: Update): Value => {
  switch (combiner) {
    case "second":
      return update;
    case "add":
      return old.op === "constant" && old.attrs.value === 0 ? update : c.b.add(old, update);
    case "multiply":
    case "maximum":
    case "minimum":
      return c.b[combiner](old, update);
    default:
      throw new Unconvertible(`a scatter by ${combiner} is not supported`);
  }
};

/** Each element of the operand has at most one update, at the place where an iota equals the index. */
function scatterOneHot(c: OpContext, x: Value, indexing: Indexing, parts: Value, combiner: Update): Value {
  const { mask, dims } = hits(c, indexing);
  const covered = [...indexing.batch].sort((a, b) => a[1] - b[1]).map(([d]) => d);
  const from = [...covered, ...indexing.windowDims];
  const squeezed = c.b.reshape(
    parts,
    from.map((d) => x.type.dims[d] ?? 0),
  );
  const spread = broadcast(c, squeezed, x.type.dims, from);
  const where = broadcast(c, mask, x.type.dims, dims);
  if (combiner === "add") return combined(c, x, c.b.select(where, spread, c.b.splat(0, spread.type)), "add");
  return c.b.select(where, combined(c, x, spread, combiner), x);
}

/** Updates of rows: the indexed dims of the operand are one dim of rows, for each batch element. Row −1 is outside of it. */
function scatterRows(c: OpContext, operand: Item, indexing: Indexing, parts: Value, combiner: Update): Value {
  const { batch, indexed, ids, rows, order } = rowIndices(c, indexing);
  const inside = indexing.inside();
  const own = indexing.indexDims.length - indexing.partial.length;
  const spread =
    inside &&
    c.b.transpose(
      broadcast(
        c,
        inside,
        indexing.indexDims,
        Array.from({ length: own }, (_, d) => d),
      ),
      order,
    );
  const kept = spread === undefined ? ids : c.b.select(spread, ids, c.b.splat(-1, ids.type));
  const windows = indexing.windowDims.map((_, i) => order.length + i);
  const updates = c.b.transpose(parts, [...order, ...windows]);
  const dims = [...batch, ...indexed, ...indexing.windowDims];
  const sizes = dims.map((d) => indexing.operandDims[d] ?? 0);
  const tableDims = [...sizes.slice(0, batch.length), rows, ...sizes.slice(batch.length + indexed.length)];
  const back = dims.map((_, d) => dims.indexOf(d));
  const restore = (table: Value): Value => c.b.transpose(c.b.reshape(table, sizes), back);
  if (combiner === "add" && uniformOf(operand) === 0) return restore(c.b.scatter(kept, updates, rows, batch.length));
  if (combiner === "add") return c.b.add(c.low.value(operand), restore(c.b.scatter(kept, updates, rows, batch.length)));
  const table = c.b.reshape(c.b.transpose(c.low.value(operand), dims), tableDims);
  return restore(changeRows(c, table, { ids: kept, updates, batch: batch.length }, combiner));
}

interface RowUpdates {
  /** [batch…, ids…] */
  readonly ids: Value;
  /** [batch…, ids…, tail…] */
  readonly updates: Value;
  /** The number of batch dims. */
  readonly batch: number;
}

/** Replaces or changes rows of a table [batch…, rows, tail…]. */
function changeRows(c: OpContext, table: Value, { ids, updates, batch }: RowUpdates, combiner: Update): Value {
  const outer = ids.type.dims.slice(0, batch);
  const count = sizeOf(ids.type.dims.slice(batch));
  const tail = table.type.dims.slice(batch + 1);
  const flatIds = c.b.reshape(ids, [...outer, count]);
  const flat = c.b.reshape(updates, [...outer, count, ...tail]);
  const isUnique = c.op.attributes.get("unique_indices");
  const unique = count === 1 || (isUnique?.kind === "bool" && isUnique.value);
  if (!unique && combiner !== "second") return combineRows(c, table, { ids: flatIds, updates: flat, batch }, combiner);
  const last = unique ? flatIds : lastOfEach(c, flatIds);
  const rows = table.type.dims[batch] ?? 0;
  const isHit = c.b.scatter(last, c.b.splat(1, tensorType("f32", last.type.dims)), rows, batch);
  const mask = broadcast(
    c,
    c.b.compare(isHit, c.b.splat(0, isHit.type), "GT"),
    table.type.dims,
    Array.from({ length: batch + 1 }, (_, d) => d),
  );
  if (flat.type.dtype === "pred") {
    const [own, now] = [c.b.convert(table, "f32"), c.b.convert(flat, "f32")];
    const changed = c.b.select(mask, c.b.scatter(last, now, rows, batch), own);
    return c.b.compare(changed, c.b.splat(0, changed.type), "NE");
  }
  return c.b.select(mask, combined(c, table, c.b.scatter(last, flat, rows, batch), combiner), table);
}

/** Of several indices of one row, only the last one: the others become −1. */
function lastOfEach(c: OpContext, ids: Value): Value {
  const { dims } = ids.type;
  const count = dims.at(-1) ?? 1;
  if (count > maxUpdates)
    throw new Unconvertible(`a replacement of ${count} elements at indices that may be equal is not supported (at most ${maxUpdates})`);
  const outer = dims.slice(0, -1).map((_, d) => d);
  const pairs = [...dims, count];
  const own = c.b.broadcastInDim(ids, pairs, [...outer, dims.length - 1]);
  const other = c.b.broadcastInDim(ids, pairs, [...outer, dims.length]);
  const type = tensorType("i32", pairs);
  const isLater = c.b.compare(c.b.iota(type, dims.length), c.b.iota(type, dims.length - 1), "GT");
  const replaced = reduceBy(c, c.b.and(c.b.compare(own, other, "EQ"), isLater), [dims.length], "or");
  return c.b.select(replaced, c.b.splat(-1, ids.type), ids);
}

/** For every row, the combination of its updates: of an array over updates and rows, in which other updates change nothing. */
function combineRows(c: OpContext, table: Value, { ids, updates, batch }: RowUpdates, combiner: Combiner): Value {
  const outer = ids.type.dims.slice(0, batch);
  const count = ids.type.dims[batch] ?? 1;
  const [rows = 0, ...tail] = table.type.dims.slice(batch);
  const pairs = [...outer, count, rows, ...tail];
  if (sizeOf(pairs) > maxPairs)
    throw new Unconvertible(
      `a scatter by ${combiner} of ${count} updates to ${rows} rows is not supported: it needs ${sizeOf(pairs)} elements`,
    );
  const lead = outer.map((_, d) => d);
  const type = tensorType("i32", pairs);
  const isOwn = c.b.compare(c.b.broadcastInDim(ids, pairs, [...lead, batch]), c.b.iota(type, batch + 1), "EQ");
  const all = c.b.broadcastInDim(updates, pairs, [...lead, batch, ...tail.map((_, d) => batch + 2 + d)]);
  const isWhole = updates.type.dtype === "i32";
  const neutral = {
    add: 0,
    multiply: 1,
    maximum: isWhole ? -2147483648 : -Infinity,
    minimum: isWhole ? 2147483647 : Infinity,
    and: 1,
    or: 0,
  }[combiner];
  const reduced = reduceBy(c, c.b.select(isOwn, all, c.b.splat(neutral, all.type)), [batch], combiner);
  return combined(c, table, reduced, combiner);
}

export const scatterConverters: Readonly<Record<string, Converter>> = { scatter };
