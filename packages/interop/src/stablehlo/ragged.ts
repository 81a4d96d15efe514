import { type DimPair, type TensorType, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { dotGeneral } from "./contraction.js";
import { cumsum } from "./cumsum.js";
import { intList, mlirType, signature } from "./mlir.js";
import type { OpPrinters } from "./op-printer.js";
import { splat } from "./shape.js";
import type { Writer } from "./writer.js";

interface Typed {
  readonly name: string;
  readonly type: TensorType;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const typed = (names: readonly string[], inputs: readonly Value[], at: number): Typed => ({
  name: ensure(names[at], "operand"),
  type: ensure(inputs[at], "operand").type,
});

const broadcast = (writer: Writer, { name, type }: Typed, dims: readonly number[], result: TensorType): string =>
  writer.temporary(`stablehlo.broadcast_in_dim ${name}, dims = ${intList(dims)} : ${signature([type], result)}`);
const binary = (writer: Writer, op: string, a: string, b: string, type: TensorType): string =>
  writer.temporary(`stablehlo.${op} ${a}, ${b} : ${mlirType(type)}`);
const zeros = (writer: Writer, { dtype, dims }: TensorType): string => writer.temporary(splat(writer.scalar(0, dtype), dtype, dims));

/** Whether row n of [lead, N] has group g: pred [lead, N, G]. Sizes below 0 count as 0. */
function groupsOfRows(writer: Writer, sizes: Typed, rows: number): Typed {
  const { type } = sizes;
  const lead = type.dims.length - 1;
  const grid = tensorType("i32", [...type.dims.slice(0, lead), rows, ensure(type.dims[lead], "groups")]);
  const pred = tensorType("pred", grid.dims);
  const counts = binary(writer, "maximum", sizes.name, zeros(writer, type), type);
  const ends = writer.temporary(cumsum(writer, counts, type, { dimension: lead, reverse: false }));
  const starts = binary(writer, "subtract", ends, counts, type);
  const row = writer.temporary(`stablehlo.iota dim = ${lead} : ${mlirType(grid)}`);
  const compared = (name: string, direction: string): string => {
    const bound = broadcast(writer, { name, type }, [...range(0, lead), lead + 1], grid);
    return writer.temporary(`stablehlo.compare ${direction}, ${row}, ${bound}, SIGNED : ${signature([grid, grid], pred)}`);
  };
  return { name: binary(writer, "and", compared(starts, "GE"), compared(ends, "LT"), pred), type: pred };
}

/** Rows [lead, N, D] as [lead, N, G, D]: a row in the place of its group, and zeros in the other places. */
function spread(writer: Writer, rows: Typed, sizes: Typed): Typed {
  const lead = sizes.type.dims.length - 1;
  const has = groupsOfRows(writer, sizes, ensure(rows.type.dims[lead], "rows"));
  const type = tensorType(rows.type.dtype, [...has.type.dims, ensure(rows.type.dims[lead + 1], "width")]);
  const pred = tensorType("pred", type.dims);
  const mask = broadcast(writer, has, range(0, lead + 2), pred);
  const values = broadcast(writer, rows, [...range(0, lead + 1), lead + 2], type);
  const chosen = writer.temporary(`stablehlo.select ${mask}, ${values}, ${zeros(writer, type)} : ${mlirType(pred)}, ${mlirType(type)}`);
  return { name: chosen, type };
}

const pairsOf = (shared: readonly number[]): DimPair[] => shared.map((d, i) => [d, i]);

/**
 * StableHLO has no matmul of groups of rows, so that the text multiplies every row by the matrix of every group, with zeros in the place of other
 * groups. The numbers are equal. The matmuls cost G times as much for G groups.
 */
export const raggedPrinters: OpPrinters<"ragged_dot" | "ragged_contract"> = {
  ragged_dot: ({ writer, names, inputs, value, attrs: { shared, transposed } }) => {
    const [rows, matrices, sizes] = [0, 1, 2].map((at) => typed(names, inputs, at)) as [Typed, Typed, Typed];
    const lead = sizes.type.dims.length - 1;
    const wide = spread(writer, rows, sizes);
    const others = range(0, lead).filter((d) => !shared.includes(d));
    // Dims of the matmul: shared, other leading dims, rows, result.
    const order = [...shared, ...others, lead, lead + 1];
    const product = tensorType(
      value.type.dtype,
      order.map((d) => ensure(value.type.dims[d], "dim")),
    );
    const g = shared.length;
    const contracting: DimPair[] = [
      [lead + 1, g],
      [lead + 2, transposed ? g + 1 : g + 2],
    ];
    const text = dotGeneral(writer, [wide.name, matrices.name], [wide.type, matrices.type], product, {
      batch: pairsOf(shared),
      contracting,
    });
    if (order.every((d, i) => d === i)) return text;
    const permutation = order.map((_, d) => order.indexOf(d));
    return `stablehlo.transpose ${writer.temporary(text)}, dims = ${intList(permutation)} : ${signature([product], value.type)}`;
  },
  ragged_contract: ({ writer, names, inputs, value, attrs: { shared } }) => {
    const [x, y, sizes] = [0, 1, 2].map((at) => typed(names, inputs, at)) as [Typed, Typed, Typed];
    const lead = sizes.type.dims.length - 1;
    const wide = spread(writer, y, sizes);
    const summed = range(0, lead + 1).filter((d) => !shared.includes(d));
    return dotGeneral(writer, [wide.name, x.name], [wide.type, x.type], value.type, {
      batch: shared.map((d): DimPair => [d, d]),
      contracting: summed.map((d): DimPair => [d, d]),
    });
  },
};
