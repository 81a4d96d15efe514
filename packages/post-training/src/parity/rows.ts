import { type ArrayData, f32Array, i32Array } from "@lapidary/interop";
import { assert, ensure } from "@lapidary/std";
import { shiftLabels } from "@lapidary/training";

const at = (array: ArrayData, index: number): number => ensure(array.data[index], "element");

/** Rows and columns. */
export const matrixDims = ({ dims }: ArrayData): readonly [number, number] => [ensure(dims[0], "rows"), ensure(dims[1], "columns")];

/** Targets and mask of the tokens whose own mask [B, T] is 1. */
export const shiftMasked = (tokens: ArrayData, mask: ArrayData): { targets: ArrayData; mask: ArrayData } =>
  shiftLabels(
    i32Array(
      tokens.dims,
      tokens.data.map((token, i) => (at(mask, i) === 1 ? token : -100)),
    ),
  );

/** Two arrays [B, P] and [B, C] as one [B, P + C]. */
export function joinColumns(left: ArrayData, right: ArrayData): ArrayData {
  const [batch = 0, p = 0] = left.dims;
  const [rows = 0, c = 0] = right.dims;
  assert(batch === rows && left.dtype === right.dtype, "columns of the same rows", left.dims, right.dims);
  const data = Array.from({ length: batch * (p + c) }, (_, i) => {
    const [row, column] = [Math.floor(i / (p + c)), i % (p + c)];
    return column < p ? at(left, row * p + column) : at(right, row * c + column - p);
  });
  return left.dtype === "f32" ? f32Array([batch, p + c], data) : i32Array([batch, p + c], data);
}

/** Completion tokens [B, C] where they are predicted: columns `prompt` − 1 to `prompt` + C − 2 of [B, seq], zeros elsewhere. */
export function placeCompletion(values: ArrayData, prompt: number, seq: number): ArrayData {
  const [batch = 0, c = 0] = values.dims;
  const data = new Float32Array(batch * seq);
  for (let row = 0; row < batch; row++) for (let i = 0; i < c; i++) data[row * seq + prompt - 1 + i] = at(values, row * c + i);
  return f32Array([batch, seq], data);
}

/** The inverse of `placeCompletion`. */
export function takeCompletion(values: ArrayData, prompt: number, columns: number): ArrayData {
  const [batch = 0, seq = 0] = values.dims;
  const data = Array.from({ length: batch * columns }, (_, i) => at(values, Math.floor(i / columns) * seq + prompt - 1 + (i % columns)));
  return f32Array([batch, columns], data);
}

/** Sums of rows. */
export function sumRows(values: ArrayData): ArrayData {
  const [batch = 0, seq = 0] = values.dims;
  return f32Array(
    [batch],
    Array.from({ length: batch }, (_, row) => {
      let sum = 0;
      for (let i = 0; i < seq; i++) sum += at(values, row * seq + i);
      return sum;
    }),
  );
}

/** Mean of the elements whose mask is 1. */
export function meanWhere(values: ArrayData, mask: ArrayData, of: (x: number, index: number) => number = (x) => x): number {
  let [sum, count] = [0, 0];
  for (let i = 0; i < values.data.length; i++)
    if (at(mask, i) === 1) {
      sum += of(at(values, i), i);
      count++;
    }
  return sum / count;
}

/** Elements as f32. */
export const asF32 = (array: ArrayData): ArrayData => f32Array(array.dims, Float32Array.from(array.data));
