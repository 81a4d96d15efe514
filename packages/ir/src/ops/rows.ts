import { ensure } from "@lapidary/std";
import type { Value } from "../graph.js";
import { type Factor, type OpDef, type OpFactors, defineOp, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { tensor } from "../tensor.js";
import { sameDims, sizeOf, tensorType } from "../types.js";

/**
 * The factors of a table [batch…, V, tail…], of ids [batch…, ids…] and of the rows [batch…, ids…, tail…].
 *
 * @param kinds of the factors of the ids, and of V
 */
function rowFactors(
  table: readonly number[],
  ids: readonly number[],
  batch: number,
  kinds: Record<"ids" | "rows", Factor["kind"]>,
): { readonly factors: Factor[]; readonly table: number[][]; readonly ids: number[][]; readonly rows: number[][] } {
  const factors: Factor[] = [];
  const add = (size: number, kind: Factor["kind"]): number[] => [
    factors.push(kind === "reduce" ? { size, kind, reduction: "sum" } : { size, kind }) - 1,
  ];
  const ofBatch = ids.slice(0, batch).map((size) => add(size, "pass"));
  const ofIds = ids.slice(batch).map((size) => add(size, kinds.ids));
  const ofTail = table.slice(batch + 1).map((size) => add(size, "pass"));
  const ofRows = add(table[batch] ?? 0, kinds.rows);
  return {
    factors,
    table: [...ofBatch, ofRows, ...ofTail],
    ids: [...ofBatch, ...ofIds],
    rows: [...ofBatch, ...ofIds, ...ofTail],
  };
}

/** By id of [batch…, ids…], its row of a table [batch · rows] in double precision; -1 if the id is outside the table. */
function flatRows(ids: { readonly dims: readonly number[]; readonly data: Float64Array }, batch: number, rows: number): number[] {
  const inEach = sizeOf(ids.dims.slice(batch));
  return Array.from(ids.data, (id, at) => (id >= 0 && id < rows ? Math.floor(at / inEach) * rows + id : -1));
}

const gather = defineOp({
  name: "gather",
  arity: 2,
  placed: true,
  producer: false,
  movesData: false,
  transcendental: false,
  vectorWork: "none",
  kernel: "lookup",
  rounds: false,
  foldable: true,
  communicates: false,
  fusible: "none",
  preserves: [],
  type: (inputs, { batch = 0 }) => {
    const [table, ids] = inputs;
    if (table === undefined || ids === undefined || ids.dtype !== "i32" || table.dims.length < 1 + batch)
      throw new ShapeError("gather", `needs a table of rank ${1 + batch} or more and i32 ids`, inputs);
    if (ids.dims.length < batch || !sameDims(table.dims.slice(0, batch), ids.dims.slice(0, batch)))
      throw new ShapeError("gather", `needs ${batch} equal leading dims`, inputs);
    return tensorType(table.dtype, [...ids.dims, ...table.dims.slice(batch + 1)]);
  },
  vjp: (g, { inputs, grad, attrs: { batch = 0 } }) => [
    g.scatter(inputs[1] as Value, grad, (inputs[0] as Value).type.dims[batch] ?? 0, batch),
    undefined,
  ],
  factors: ([table, ids], _, { batch = 0 }): OpFactors => {
    const maps = rowFactors(ensure(table, "table").dims, ensure(ids, "ids").dims, batch, { ids: "pass", rows: "reduce" });
    return { factors: maps.factors, inputs: [maps.table, maps.ids], output: maps.rows };
  },
  linearIn: () => [[0]],
  localize: sameAttrs,
  batch: (attrs) => ({ ...attrs, batch: (attrs.batch ?? 0) + 1 }),
  flops: () => 0,
  evaluate: ([table, ids], { batch = 0 }, out) => {
    const [t, i] = [ensure(table, "table"), ensure(ids, "ids")];
    const width = sizeOf(t.dims.slice(batch + 1));
    const result = new Float64Array(sizeOf(out.dims));
    flatRows(i, batch, t.dims[batch] ?? 0).forEach((row, at) => {
      if (row >= 0) result.set(t.data.subarray(row * width, (row + 1) * width), at * width);
    });
    return tensor(out.dtype, out.dims, result);
  },
});

const scatter = defineOp({
  name: "scatter",
  arity: 2,
  placed: true,
  producer: false,
  movesData: false,
  transcendental: false,
  vectorWork: "result",
  kernel: "lookup",
  rounds: true,
  foldable: true,
  communicates: false,
  fusible: "none",
  preserves: [],
  type: (inputs, { rows, batch = 0 }) => {
    const [ids, updates] = inputs;
    if (ids === undefined || updates === undefined || ids.dtype !== "i32" || !sameDims(updates.dims.slice(0, ids.dims.length), ids.dims))
      throw new ShapeError("scatter", "needs i32 ids and updates that begin with their dims", inputs);
    if (ids.dims.length < batch) throw new ShapeError("scatter", `needs ids of rank ${batch} or more`, inputs);
    return tensorType(updates.dtype, [...ids.dims.slice(0, batch), rows, ...updates.dims.slice(ids.dims.length)]);
  },
  vjp: (g, { inputs, grad, attrs: { batch = 0 } }) => [undefined, g.gather(grad, inputs[0] as Value, batch)],
  factors: ([ids], output, { batch = 0 }): OpFactors => {
    const maps = rowFactors(output.dims, ensure(ids, "ids").dims, batch, { ids: "reduce", rows: "pass" });
    return { factors: maps.factors, inputs: [maps.ids, maps.rows], output: maps.table };
  },
  linearIn: () => [[1]],
  localize: (attrs, _inputs, output) => ({ ...attrs, rows: output[attrs.batch ?? 0] ?? 0 }),
  batch: (attrs) => ({ ...attrs, batch: (attrs.batch ?? 0) + 1 }),
  flops: ([, updates]) => sizeOf(updates?.dims ?? []),
  evaluate: ([ids, updates], { batch = 0 }, out) => {
    const [i, u] = [ensure(ids, "ids"), ensure(updates, "updates")];
    const width = sizeOf(out.dims.slice(batch + 1));
    const result = new Float64Array(sizeOf(out.dims));
    flatRows(i, batch, out.dims[batch] ?? 0).forEach((row, at) => {
      if (row < 0) return;
      for (let k = 0; k < width; k++) result[row * width + k] = (result[row * width + k] ?? 0) + (u.data[at * width + k] ?? 0);
    });
    return tensor(out.dtype, out.dims, result);
  },
});

export const rowOps: { readonly [N in "gather" | "scatter"]: OpDef<N> } = { gather, scatter };
