import { ensure } from "@lapidary/std";
import { type OpDef, defineOp, elementwiseFactors, linearInFirst, movementTraits, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { tensor } from "../tensor.js";
import { sizeOf, tensorType } from "../types.js";

/** Rows `start` to `limit` of a part of a dim; of no part, and so zeros, if `part` is undefined. */
export interface ShiftPiece {
  readonly part: number | undefined;
  readonly start: number;
  readonly limit: number;
}

/**
 * The rows that a shift by `by` moves to any part of a dim, in order. `offset`: the number of the part that they come from, relative to that part.
 *
 * @param rows of each part
 */
export function shiftOffsets(rows: number, by: number): { readonly offset: number; readonly start: number; readonly limit: number }[] {
  const offset = Math.floor(-by / rows);
  const from = -by - offset * rows;
  const pieces = [
    { offset, start: from, limit: rows },
    { offset: offset + 1, start: 0, limit: from },
  ];
  return pieces.filter(({ start, limit }) => limit > start);
}

/**
 * The rows that a shift moves to one part of a dim, in order: from one part, or from two neighbouring ones.
 *
 *     4 parts of 3 rows, by 1, part 2:   row 2 of part 1, then rows 0 and 1 of part 2
 *
 * @param parts number of equal parts of the dim
 * @param rows of each part
 * @param part the part whose new rows are described
 */
export function shiftPieces(parts: number, rows: number, part: number, { by, wrap }: { by: number; wrap: boolean }): ShiftPiece[] {
  const inRange = (at: number): number | undefined => (wrap ? ((at % parts) + parts) % parts : at >= 0 && at < parts ? at : undefined);
  return shiftOffsets(rows, by).map(({ offset, start, limit }) => ({ part: inRange(part + offset), start, limit }));
}

/**
 * Every row from `by` rows before: row i of the result is row i − by of the operand. A row from outside is zero; with `wrap` it is
 * that of the other end. If chips split the dim, partition replaces the op by a collective_permute.
 */
const shift = defineOp({
  name: "shift",
  arity: 1,
  ...movementTraits,
  type: (inputs, { dimension, by }) => {
    const [x] = inputs;
    if (x === undefined || dimension < 0 || dimension >= x.dims.length || !Number.isInteger(by))
      throw new ShapeError("shift", `needs a dim ${dimension} and a whole number of rows`, inputs);
    return tensorType(x.dtype, x.dims);
  },
  vjp: (g, { grad, attrs }) => [g.op("shift", [grad], { ...attrs, by: -attrs.by })],
  factors: elementwiseFactors,
  linearIn: linearInFirst,
  localize: sameAttrs,
  batch: (attrs) => ({ ...attrs, dimension: attrs.dimension + 1 }),
  flops: () => 0,
  evaluate: ([operand], attrs, out) => {
    const x = ensure(operand, "operand");
    const rows = out.dims[attrs.dimension] ?? 1;
    const inner = sizeOf(out.dims.slice(attrs.dimension + 1));
    const result = new Float64Array(sizeOf(out.dims));
    for (let base = 0; base < result.length; base += rows * inner) {
      let to = base;
      for (const { part, start, limit } of shiftPieces(1, rows, 0, attrs)) {
        if (part !== undefined) result.set(x.data.subarray(base + start * inner, base + limit * inner), to);
        to += (limit - start) * inner;
      }
    }
    return tensor(out.dtype, out.dims, result);
  },
});

export const shiftOps: { readonly shift: OpDef<"shift"> } = { shift };
