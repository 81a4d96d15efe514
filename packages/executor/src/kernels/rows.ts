import { sizeOf } from "@lapidary/ir";
import type { Bound, NativeOps } from "../device/native-ops.js";
import type { DeviceTensor, TfjsCore } from "../device/tfjs.js";
import { type Kernel, type KernelContext, type KernelTable, chain, operand } from "./kernel.js";
import { isContiguous } from "./placement.js";
import { bindReshape } from "./shape.js";

/**
 * Gather and scatter of rows of a table. Ids are positions in the whole table, and this part has some of its rows. An id of another part, or outside the
 * table, gives a row of zeros (gather) or is dropped (scatter).
 *
 *     ids    7  2  9  5        this part has rows 4 5 6 7        local   3  ·  ·  1
 */

/** By row of the whole table: its local row, or -1. */
function localRows(whole: number, positions: Int32Array): Int32Array {
  const local = new Int32Array(whole).fill(-1);
  positions.forEach((position, i) => {
    local[position] = i;
  });
  return local;
}

/** The leading dims of a table as one, its rows, and the rows of all tables together. */
function tableShape(dims: readonly number[], batch: number): { readonly tables: number; readonly rows: number; readonly width: number } {
  return { tables: sizeOf(dims.slice(0, batch)), rows: dims[batch] ?? 0, width: sizeOf(dims.slice(batch + 1)) };
}

/** Local row numbers of ids [batch…, …] among the rows of all tables; -1 for rows that this part does not have. */
function flatRows(
  ids: ArrayLike<number>,
  local: Int32Array,
  { tables, rows }: { readonly tables: number; readonly rows: number },
): number[] {
  const inEach = ids.length / tables;
  return Array.from(ids, (id, at) => {
    const row = local[id] ?? -1;
    return row < 0 ? -1 : Math.floor(at / inEach) * rows + row;
  });
}

const gather: Kernel<"gather"> = {
  tfjs: ({ device, attrs: { batch = 0 }, inputs: [table], inputPlacements: [placement], output }) => {
    const { tf } = device;
    const dims = tableShape(table?.dims ?? [], batch);
    const { tables, rows, width } = dims;
    const local = localRows(placement?.wholeSize(batch) ?? rows, placement?.positions(batch) ?? new Int32Array());
    const shape = [...output.dims];
    return (inputs) => {
      const ids = flatRows(device.download(operand(inputs, 1)), local, dims);
      return tf.tidy(() => {
        const flat = tf.reshape(operand(inputs, 0), [tables * rows, width]);
        const taken = tf.gather(
          flat,
          tf.tensor1d(
            ids.map((id) => Math.max(id, 0)),
            "int32",
          ),
        );
        const held = tf.tensor2d(
          Uint8Array.from(ids, (id) => (id < 0 ? 0 : 1)),
          [ids.length, 1],
          "bool",
        );
        return tf.reshape(tf.where(tf.broadcastTo(held, [ids.length, width]), taken, tf.zerosLike(taken)), shape);
      });
    };
  },
  // With this policy, GatherNd returns zeros for indices out of range.
  native: (context, native) => {
    const {
      inputs: [table, ids],
      inputPlacements: [placement],
      attrs: { batch = 0 },
      device,
      keep,
    } = context;
    const { tables, rows } = tableShape(table?.dims ?? [], batch);
    const whole = placement?.wholeSize(batch) ?? rows;
    const positions = placement?.positions(batch) ?? new Int32Array();
    const take = native.bind("GatherNd", [
      native.type("Tparams", table?.dtype ?? "f32"),
      native.type("Tindices", "i32"),
      native.string("bad_indices_policy", "IGNORE"),
    ]);
    const asIndices = bindReshape({ device, keep, output: { dtype: "i32", dims: [] } }, native, [...(ids?.dims ?? []), 1]);
    const ofTables = { dims: ids?.dims ?? [], batch, tables, rows };
    const toLocal =
      batch > 0 ? bindToFlat(context, native, whole, positions, ofTables, [1]) : bindToLocal(context, native, whole, positions);
    const asTable =
      batch > 0
        ? bindReshape({ device, keep, output: { dtype: table?.dtype ?? "f32", dims: [] } }, native, [
            tables * rows,
            ...(table?.dims.slice(batch + 1) ?? []),
          ])
        : undefined;
    return (operands) => {
      let indices = asIndices([operand(operands, 1)]);
      if (toLocal !== undefined) {
        const local = toLocal([indices]);
        indices.dispose();
        indices = local;
      }
      const flat = asTable?.([operand(operands, 0)]);
      const result = take([flat ?? operand(operands, 0), indices]);
      indices.dispose();
      flat?.dispose();
      return result;
    };
  },
};

/** Maps row numbers of the whole table to local ones; rows of other parts get a number out of range. Undefined if this part has all rows. */
function bindToLocal(
  { device: { tf }, keep }: Pick<KernelContext<"gather">, "device" | "keep">,
  native: NativeOps,
  whole: number,
  positions: Int32Array,
): Bound | undefined {
  if (positions.length === whole) return undefined;
  if (isContiguous(positions)) return native.bind("Sub", [native.type("T", "i32")], [keep(tf.scalar(positions[0] ?? 0, "int32"))]);
  return bindLookUp(tf, keep, native, { whole, positions, tail: [1] });
}

/** Maps indices [batch…, ids…, 1] to row numbers [batch…, ids…, tail…] among the rows of all tables. Other rows get a number below zero. */
function bindToFlat(
  { device: { tf }, keep }: Pick<KernelContext<"gather">, "device" | "keep">,
  native: NativeOps,
  whole: number,
  positions: Int32Array,
  ids: { readonly dims: readonly number[]; readonly batch: number; readonly tables: number; readonly rows: number },
  tail: readonly number[],
): Bound {
  // The number of a missing row is below zero after the addition of the first row of any table.
  const local = bindLookUp(tf, keep, native, { whole, positions, tail, missing: ids.tables * ids.rows + 1 });
  const dims = [...ids.dims.map((size, d) => (d < ids.batch ? size : 1)), ...tail];
  const first = tf.tensor(
    Int32Array.from({ length: ids.tables }, (_, table) => table * ids.rows),
    dims,
    "int32",
  );
  return chain(local, native.bind("AddV2", [native.type("T", "i32")], [keep(first)]));
}

interface LookUp {
  /** Rows of the whole table. */
  readonly whole: number;
  /** The rows of this part. */
  readonly positions: Int32Array;
  readonly tail: readonly number[];
  /** Minus the number of a row that this part lacks; 1 by default. */
  readonly missing?: number;
}

/** Maps indices [ids…, 1] to local row numbers [ids…, tail…] with a lookup table. A missing row gets `-missing`. */
function bindLookUp(
  tf: TfjsCore,
  keep: (tensor: DeviceTensor) => DeviceTensor,
  native: NativeOps,
  { whole, positions, tail, missing = 1 }: LookUp,
): Bound {
  // The table has the local row plus `missing`. An index out of range gives 0, so that it becomes `-missing` too.
  const table = keep(
    tf.tensor(
      localRows(whole, positions).map((row) => (row < 0 ? 0 : row + missing)),
      [whole, ...tail],
      "int32",
    ),
  );
  const take = native.bind("GatherNd", [
    native.type("Tparams", "i32"),
    native.type("Tindices", "i32"),
    native.string("bad_indices_policy", "IGNORE"),
  ]);
  const subtract = native.bind("Sub", [native.type("T", "i32")], [keep(tf.scalar(missing, "int32"))]);
  return chain((inputs) => take([table, operand(inputs, 0)]), subtract);
}

const scatter: Kernel<"scatter"> = {
  tfjs: ({ device, inputs: [ids, updates], attrs: { batch = 0 }, outputPlacement, output }) => {
    const { tf } = device;
    const local = localRows(outputPlacement.wholeSize(batch), outputPlacement.positions(batch));
    const count = sizeOf(ids?.dims ?? []);
    const dims = tableShape(output.dims, batch);
    const width = sizeOf(updates?.dims.slice(ids?.dims.length ?? 0) ?? []);
    const rows = dims.tables * dims.rows;
    const shape = [...output.dims];
    return (inputs) => {
      // One additional row collects the dropped updates.
      const targets = flatRows(device.download(operand(inputs, 0)), local, dims).map((row) => (row < 0 ? rows : row));
      return tf.tidy(() => {
        const summed = tf.scatterND(tf.tensor2d(targets, [count, 1], "int32"), tf.reshape(operand(inputs, 1), [count, width]), [
          rows + 1,
          width,
        ]);
        return tf.reshape(tf.slice(summed, [0, 0], [rows, width]), shape);
      });
    };
  },
  native: (context, native) => {
    const {
      device,
      keep,
      inputs,
      attrs: { batch = 0 },
      outputPlacement,
      output,
    } = context;
    const { tf } = device;
    const ids = inputs[0]?.dims ?? [];
    const { tables, rows } = tableShape(output.dims, batch);
    const asIndices = bindReshape({ device, keep, output: { dtype: "i32", dims: [] } }, native, [...ids, 1]);
    const [whole, positions] = [outputPlacement.wholeSize(batch), outputPlacement.positions(batch)];
    const toRows =
      batch > 0
        ? bindToFlat(context, native, whole, positions, { dims: ids, batch, tables, rows }, [])
        : bindLookUp(tf, keep, native, { whole, positions, tail: [] });
    const local = chain(asIndices, toRows);
    const sum = native.bind(
      "UnsortedSegmentSum",
      [native.type("T", output.dtype), native.type("Tindices", "i32"), native.type("Tnumsegments", "i32")],
      [keep(tf.scalar(tables * rows, "int32"))],
    );
    const asTables = batch > 0 ? bindReshape(context, native, output.dims) : undefined;
    return (operands) => {
      const targets = local([operand(operands, 0)]);
      const result = sum([operand(operands, 1), targets]);
      targets.dispose();
      if (asTables === undefined) return result;
      const shaped = asTables([result]);
      result.dispose();
      return shaped;
    };
  },
};

export const rowKernels: { readonly [N in "gather" | "scatter"]: KernelTable[N] } = { gather, scatter };
