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

const gather: Kernel<"gather"> = {
  tfjs: ({ device, inputs: [table], inputPlacements: [placement], output }) => {
    const { tf } = device;
    const rows = table?.dims[0] ?? 0;
    const local = localRows(placement?.wholeSize(0) ?? rows, placement?.positions(0) ?? new Int32Array());
    const width = sizeOf(table?.dims.slice(1) ?? []);
    const shape = [...output.dims];
    return (inputs) => {
      const ids = device.download(operand(inputs, 1)).map((id) => local[id] ?? -1);
      return tf.tidy(() => {
        const flat = tf.reshape(operand(inputs, 0), [rows, width]);
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
    const { inputs, inputPlacements, device, keep } = context;
    const [table, ids] = inputs;
    const rows = table?.dims[0] ?? 0;
    const placement = inputPlacements[0];
    const whole = placement?.wholeSize(0) ?? rows;
    const positions = placement?.positions(0) ?? new Int32Array();
    const take = native.bind("GatherNd", [
      native.type("Tparams", table?.dtype ?? "f32"),
      native.type("Tindices", "i32"),
      native.string("bad_indices_policy", "IGNORE"),
    ]);
    const asIndices = bindReshape({ device, keep, output: { dtype: "i32", dims: [] } }, native, [...(ids?.dims ?? []), 1]);
    const toLocal = bindToLocal(context, native, whole, positions);
    return (operands) => {
      let indices = asIndices([operand(operands, 1)]);
      if (toLocal !== undefined) {
        const local = toLocal([indices]);
        indices.dispose();
        indices = local;
      }
      const result = take([operand(operands, 0), indices]);
      indices.dispose();
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
  return bindLookUp(tf, keep, native, whole, positions, [1]);
}

/** Maps indices [ids…, 1] to local row numbers [ids…, tail…] with a lookup table. */
function bindLookUp(
  tf: TfjsCore,
  keep: (tensor: DeviceTensor) => DeviceTensor,
  native: NativeOps,
  whole: number,
  positions: Int32Array,
  tail: readonly number[],
): Bound {
  // The table has the local row plus 1. An index out of range gives 0, so that it becomes -1 too.
  const table = keep(
    tf.tensor(
      localRows(whole, positions).map((row) => row + 1),
      [whole, ...tail],
      "int32",
    ),
  );
  const take = native.bind("GatherNd", [
    native.type("Tparams", "i32"),
    native.type("Tindices", "i32"),
    native.string("bad_indices_policy", "IGNORE"),
  ]);
  const minusOne = native.bind("Sub", [native.type("T", "i32")], [keep(tf.scalar(1, "int32"))]);
  return chain((inputs) => take([table, operand(inputs, 0)]), minusOne);
}

const scatter: Kernel<"scatter"> = {
  tfjs: ({ device, inputs: [ids, updates], attrs: { rows }, outputPlacement, output }) => {
    const { tf } = device;
    const local = localRows(outputPlacement.wholeSize(0), outputPlacement.positions(0));
    const count = sizeOf(ids?.dims ?? []);
    const width = sizeOf(updates?.dims.slice(ids?.dims.length ?? 0) ?? []);
    const shape = [...output.dims];
    return (inputs) => {
      // One additional row collects the dropped updates.
      const targets = device.download(operand(inputs, 0)).map((id) => {
        const row = local[id] ?? -1;
        return row < 0 ? rows : row;
      });
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
      attrs: { rows },
      outputPlacement,
      output,
    } = context;
    const { tf } = device;
    const ids = inputs[0]?.dims ?? [];
    const asIndices = bindReshape({ device, keep, output: { dtype: "i32", dims: [] } }, native, [...ids, 1]);
    const local = chain(asIndices, bindLookUp(tf, keep, native, outputPlacement.wholeSize(0), outputPlacement.positions(0), []));
    const sum = native.bind(
      "UnsortedSegmentSum",
      [native.type("T", output.dtype), native.type("Tindices", "i32"), native.type("Tnumsegments", "i32")],
      [keep(tf.scalar(rows, "int32"))],
    );
    return (operands) => {
      const targets = local([operand(operands, 0)]);
      const result = sum([operand(operands, 1), targets]);
      targets.dispose();
      return result;
    };
  },
};

export const rowKernels: { readonly [N in "gather" | "scatter"]: KernelTable[N] } = { gather, scatter };
