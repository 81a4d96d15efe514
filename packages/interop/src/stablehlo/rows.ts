import { type TensorType, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { combiner } from "./contraction.js";
import { intList, mlirType, signature } from "./mlir.js";
import type { OpPrinters, PrintContext } from "./op-printer.js";
import { splat } from "./shape.js";
import type { Writer } from "./writer.js";

const operandType = (inputs: readonly Value[], at: number): TensorType => ensure(inputs[at], "operand").type;
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** The attributes for leading dims that the table and the ids share, under the names of the op; none if they share none. */
const batching = (batch: number, ofTable: string, ofIds: string): string =>
  batch === 0 ? "" : `${ofTable} = ${intList(range(0, batch))}, ${ofIds} = ${intList(range(0, batch))}, `;

export const rowPrinters: OpPrinters<"gather" | "scatter"> = {
  // StableHLO clamps ids that are out of range. Lapidary returns zeros for them, and for rows of other chips.
  gather: (context) => {
    const { writer, names, inputs, value, attrs } = context;
    const batch = attrs.batch ?? 0;
    const [table, ids] = [operandType(inputs, 0), operandType(inputs, 1)];
    const rank = ids.dims.length;
    const local = localIds(context, ensure(names[1], "ids"), ensure(inputs[0], "table"), ids, batch);
    const numbers = `#stablehlo.gather<offset_dims = ${intList(range(rank, value.type.dims.length))}, collapsed_slice_dims = [${batch}], ${batching(batch, "operand_batching_dims", "start_indices_batching_dims")}start_index_map = [${batch}], index_vector_dim = ${rank}>`;
    const sizes = [...range(0, batch + 1).map(() => 1), ...table.dims.slice(batch + 1)].join(", ");
    const taken = writer.temporary(
      `"stablehlo.gather"(${names[0]}, ${local}) <{dimension_numbers = ${numbers}, slice_sizes = array<i64: ${sizes}>, indices_are_sorted = false}> : ${signature([table, ids], value.type)}`,
    );
    const known = inRange(writer, local, ids, table.dims[batch] ?? 0);
    const pred = tensorType("pred", value.type.dims);
    const mask = writer.temporary(
      `stablehlo.broadcast_in_dim ${known}, dims = ${intList(range(0, rank))} : ${signature([tensorType("pred", ids.dims)], pred)}`,
    );
    const zeros = writer.temporary(splat(writer.scalar(0, value.type.dtype), value.type.dtype, value.type.dims));
    return `stablehlo.select ${mask}, ${taken}, ${zeros} : ${mlirType(pred)}, ${mlirType(value.type)}`;
  },
  // StableHLO also drops updates whose row is out of range, or on another chip.
  scatter: (context) => {
    const { writer, names, inputs, value, attrs } = context;
    const batch = attrs.batch ?? 0;
    const [ids, updates] = [operandType(inputs, 0), operandType(inputs, 1)];
    const rank = ids.dims.length;
    const local = localIds(context, ensure(names[0], "ids"), value as Value, ids, batch);
    const zeros = writer.temporary(splat(writer.scalar(0, value.type.dtype), value.type.dtype, value.type.dims));
    const numbers = `#stablehlo.scatter<update_window_dims = ${intList(range(rank, updates.dims.length))}, inserted_window_dims = [${batch}], ${batching(batch, "input_batching_dims", "scatter_indices_batching_dims")}scatter_dims_to_operand_dims = [${batch}], index_vector_dim = ${rank}>`;
    return `"stablehlo.scatter"(${zeros}, ${local}, ${names[1]}) <{indices_are_sorted = false, scatter_dimension_numbers = ${numbers}, unique_indices = false}> ${combiner("sum", value.type.dtype)} : ${signature([value.type, ids, updates], value.type)}`;
  },
};

/** Row ids relative to this chip's first row of `rows`, whose dim `batch` may be sharded. In a global module it is not. */
function localIds(
  { writer, value }: PrintContext<"gather" | "scatter">,
  ids: string,
  rows: Value,
  type: TensorType,
  batch: number,
): string {
  const atoms = writer.perChip ? (ensure(rows.sharding, `sharding of ${value.name}`).dims[batch] ?? []) : [];
  if (atoms.length === 0) return ids;
  const first = writer.temporary(splat(writer.shardOffset(atoms, rows.type.dims[batch] ?? 0), "i32", type.dims));
  return writer.temporary(`stablehlo.subtract ${ids}, ${first} : ${mlirType(type)}`);
}

/** 0 ≤ id < rows. */
function inRange(writer: Writer, ids: string, type: TensorType, rows: number): string {
  const bound = (limit: number, direction: string): string => {
    const limits = writer.temporary(splat(writer.scalar(limit, "i32"), "i32", type.dims));
    return writer.temporary(
      `stablehlo.compare ${direction}, ${ids}, ${limits}, SIGNED : ${signature([type, type], tensorType("pred", type.dims))}`,
    );
  };
  return writer.temporary(`stablehlo.and ${bound(0, "GE")}, ${bound(rows, "LT")} : ${mlirType(tensorType("pred", type.dims))}`);
}
