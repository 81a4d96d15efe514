import { type Dtype, type ReductionKind, type TensorType, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { intList, mlirType, neutral, signature } from "./mlir.js";
import type { OpPrinters, PrintContext } from "./op-printer.js";
import { splat } from "./shape.js";
import type { Writer } from "./writer.js";

const combiners: Readonly<Record<ReductionKind, string>> = { sum: "add", max: "maximum", min: "minimum" };

/** The region that combines two elements. */
export function combiner(kind: ReductionKind, dtype: Dtype): string {
  const type = mlirType(tensorType(dtype, []));
  return `({\n  ^bb0(%a: ${type}, %b: ${type}):\n    %c = stablehlo.${combiners[kind]} %a, %b : ${type}\n    stablehlo.return %c : ${type}\n})`;
}

const operandType = (inputs: readonly Value[], at: number): TensorType => ensure(inputs[at], "operand").type;
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

export const contractionPrinters: OpPrinters<"reduce" | "dot_general" | "gather" | "scatter"> = {
  reduce: ({ writer, names: [x], inputs, value, attrs: { dims, kind } }) => {
    const { dtype } = value.type;
    const types = signature([operandType(inputs, 0), tensorType(dtype, [])], value.type);
    return `stablehlo.reduce(${x} init: ${writer.scalar(neutral(kind, dtype), dtype)}) applies stablehlo.${combiners[kind]} across dimensions = ${intList(dims)} : ${types}`;
  },
  dot_general: ({ writer, names: [a, b], inputs, value, attrs: { batch, contracting } }) => {
    const pairs = (list: readonly (readonly [number, number])[]): string =>
      `${intList(list.map(([l]) => l))} x ${intList(list.map(([, r]) => r))}`;
    const precision = writer.options.numerics === "mxu" ? "DEFAULT" : "HIGHEST";
    const batching = batch.length === 0 ? "" : `batching_dims = ${pairs(batch)}, `;
    return `stablehlo.dot_general ${a}, ${b}, ${batching}contracting_dims = ${pairs(contracting)}, precision = [${precision}, ${precision}] : ${signature(
      inputs.map(({ type }) => type),
      value.type,
    )}`;
  },
  // StableHLO clamps ids that are out of range. Lapidary returns zeros for them, and for rows of other chips.
  gather: (context) => {
    const { writer, names, inputs, value } = context;
    const [table, ids] = [operandType(inputs, 0), operandType(inputs, 1)];
    const rank = ids.dims.length;
    const local = localIds(context, ensure(names[1], "ids"), ensure(inputs[0], "table"), ids);
    const numbers = `#stablehlo.gather<offset_dims = ${intList(range(rank, value.type.dims.length))}, collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = ${rank}>`;
    const sizes = [1, ...table.dims.slice(1)].join(", ");
    const taken = writer.temporary(
      `"stablehlo.gather"(${names[0]}, ${local}) <{dimension_numbers = ${numbers}, slice_sizes = array<i64: ${sizes}>, indices_are_sorted = false}> : ${signature([table, ids], value.type)}`,
    );
    const known = inRange(writer, local, ids, table.dims[0] ?? 0);
    const pred = tensorType("pred", value.type.dims);
    const mask = writer.temporary(
      `stablehlo.broadcast_in_dim ${known}, dims = ${intList(range(0, rank))} : ${signature([tensorType("pred", ids.dims)], pred)}`,
    );
    const zeros = writer.temporary(splat(writer.scalar(0, value.type.dtype), value.type.dtype, value.type.dims));
    return `stablehlo.select ${mask}, ${taken}, ${zeros} : ${mlirType(pred)}, ${mlirType(value.type)}`;
  },
  // StableHLO also drops updates whose row is out of range, or on another chip.
  scatter: (context) => {
    const { writer, names, inputs, value } = context;
    const [ids, updates] = [operandType(inputs, 0), operandType(inputs, 1)];
    const rank = ids.dims.length;
    const local = localIds(context, ensure(names[0], "ids"), value as Value, ids);
    const zeros = writer.temporary(splat(writer.scalar(0, value.type.dtype), value.type.dtype, value.type.dims));
    const numbers = `#stablehlo.scatter<update_window_dims = ${intList(range(rank, updates.dims.length))}, inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = ${rank}>`;
    return `"stablehlo.scatter"(${zeros}, ${local}, ${names[1]}) <{indices_are_sorted = false, scatter_dimension_numbers = ${numbers}, unique_indices = false}> ${combiner("sum", value.type.dtype)} : ${signature([value.type, ids, updates], value.type)}`;
  },
};

/** Row ids relative to this chip's first row of `rows`, whose dim 0 may be sharded. In a global module it is not. */
function localIds({ writer, value }: PrintContext<"gather" | "scatter">, ids: string, rows: Value, type: TensorType): string {
  const atoms = writer.perChip ? (ensure(rows.sharding, `sharding of ${value.name}`).dims[0] ?? []) : [];
  if (atoms.length === 0) return ids;
  const first = writer.temporary(splat(writer.shardOffset(atoms, rows.type.dims[0] ?? 0), "i32", type.dims));
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
