import { shiftPieces, tensorType } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { intList, mlirType, signature } from "./mlir.js";
import type { OpPrinters } from "./op-printer.js";
import { joined, type Piece, rowsOf, withRows } from "./pieces.js";
import { splat } from "./shape.js";

export const shiftPrinters: OpPrinters<"shift" | "pick"> = {
  shift: ({ writer, names: [x], attrs, value }) => {
    const { dtype, dims } = value.type;
    const { dimension } = attrs;
    const taken = shiftPieces(1, dims[dimension] ?? 1, 0, attrs).map(({ part, start, limit }): Piece => {
      if (part !== undefined) return rowsOf(writer, ensure(x, "operand"), value.type, { dimension, start, limit });
      const type = withRows(value.type, dimension, limit - start);
      return { name: writer.temporary(splat(writer.scalar(0, dtype), dtype, type.dims)), type };
    });
    return joined(taken, dimension, value.type);
  },
  // A gather whose batch is the dim of the places. On a chip, the indices are the entries of its places.
  pick: ({ writer, names: [x], inputs, attrs: { from, by, table }, value }) => {
    const operand = ensure(inputs[0], "operand");
    const { dims } = operand.type;
    const whole = tensorType("i32", [table.length]);
    const own = tensorType("i32", [dims[by] ?? 1]);
    const entries = writer.temporary(`stablehlo.constant dense<[${table.join(", ")}]> : ${mlirType(whole)}`);
    const atoms = writer.perChip ? (ensure(operand.sharding, `sharding of ${value.name}`).dims[by] ?? []) : [];
    const indices =
      atoms.length === 0
        ? entries
        : writer.temporary(
            `stablehlo.dynamic_slice ${entries}, ${writer.shardOffset(atoms, dims[by] ?? 1)}, sizes = ${intList(own.dims)} : ${signature([whole, tensorType("i32", [])], own)}`,
          );
    const place = by < from ? by : by - 1;
    const offsets = value.type.dims.map((_, d) => d).filter((d) => d !== place);
    const numbers = `#stablehlo.gather<offset_dims = ${intList(offsets)}, collapsed_slice_dims = [${from}], operand_batching_dims = [${by}], start_indices_batching_dims = [0], start_index_map = [${from}], index_vector_dim = 1>`;
    const sizes = dims.map((size, d) => (d === from || d === by ? 1 : size)).join(", ");
    return `"stablehlo.gather"(${x}, ${indices}) <{dimension_numbers = ${numbers}, slice_sizes = array<i64: ${sizes}>, indices_are_sorted = false}> : ${signature([operand.type, own], value.type)}`;
  },
};
