import { pickedDim, type ShiftPiece, shiftPieces } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { Device } from "../device/device.js";
import type { Bound } from "../device/native-ops.js";
import type { DeviceTensor } from "../device/tfjs.js";
import { type Kernel, type KernelTable, operand } from "./kernel.js";

/** The pieces of a shifted dim, one after the other: rows of the operand that a piece names, or zeros. */
export function bindShiftPieces({ tf }: Device, dims: readonly number[], dimension: number, pieces: readonly ShiftPiece[]): Bound {
  const sizeOf = (rows: number): number[] => dims.map((size, d) => (d === dimension ? rows : size));
  return (inputs) =>
    tf.tidy(() => {
      const taken = pieces.map(({ part, start, limit }): DeviceTensor => {
        const x = operand(inputs, part ?? 0);
        const begin = dims.map((_, d) => (d === dimension ? start : 0));
        return part === undefined ? tf.zeros(sizeOf(limit - start), x.dtype) : tf.slice(x, begin, sizeOf(limit - start));
      });
      return taken.length === 1 ? ensure(taken[0], "piece").clone() : tf.concat(taken, dimension);
    });
}

/** The rows that stay inside, and zeros or the rows of the other end before or after them. */
const shift: Kernel<"shift"> = {
  tfjs: ({ device, attrs, output: { dims } }) =>
    bindShiftPieces(device, dims, attrs.dimension, shiftPieces(1, dims[attrs.dimension] ?? 1, 0, attrs)),
};

/**
 * Both dims become one, of which a gather takes one row for each place:
 *
 *     x [.., F, S, ..]  →  [.., F·S, ..]  →  rows table[s]·S + s  →  [.., S, ..]
 */
const pick: Kernel<"pick"> = {
  tfjs: ({ device: { tf }, keep, attrs: { from, by, table }, inputs: [type], inputPlacements: [placement], output }) => {
    const dims = ensure(type, "operand").dims;
    const [slices, places] = [dims[from] ?? 1, dims[by] ?? 1];
    const own = [...ensure(placement, "placement").positions(by)].map((at) => ensure(table[at], "entry of the table"));
    const isAfter = from === by + 1;
    const others = dims.map((_, d) => d).filter((d) => d !== from);
    // Neighbours in memory need no transpose.
    const order = isAfter || from === by - 1 ? undefined : others.flatMap((d) => (d === by ? [from, by] : [d]));
    const rows = own.map((slice, place) => (isAfter ? place * slices + slice : slice * places + place));
    const axis = others.indexOf(by);
    const joined = others.map((d) => (d === by ? slices * places : (dims[d] ?? 1)));
    const indices = keep(tf.tensor1d(rows, "int32"));
    const shape = output.dims.map((size, d) => (pickedDim(d, from) === by ? places : size));
    return (inputs) =>
      tf.tidy(() => {
        const x = operand(inputs, 0);
        const ordered = order === undefined ? x : tf.transpose(x, order);
        return tf.reshape(tf.gather(tf.reshape(ordered, joined), indices, axis), shape);
      });
  },
};

export const shiftKernels: { readonly [N in "shift" | "pick"]: KernelTable[N] } = { shift, pick };
