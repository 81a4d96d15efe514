import { type Sharding, type Value, tensorType } from "@lapidary/ir";
import { LapidaryError, ensure } from "@lapidary/std";
import { literal, mlirType } from "./mlir.js";
import type { OpPrinters } from "./op-printer.js";
import { splat } from "./shape.js";

export const structurePrinters: OpPrinters<"parameter" | "constant" | "iota" | "rng_normal" | "rng_uniform" | "carry" | "yield"> = {
  parameter: ({ attrs }) => {
    throw new Error(`invariant broken: parameter ${attrs.name} is an argument of the function, not an operation`);
  },
  constant: ({ attrs, value }) => `stablehlo.constant dense<${literal(attrs.value, attrs.dtype)}> : ${mlirType(value.type)}`,
  // A shard of an iota starts at the offset of the shard.
  iota: ({ writer, attrs, value }) => {
    const { dtype, dims } = value.type;
    const own = `stablehlo.iota dim = ${attrs.dimension} : ${mlirType(value.type)}`;
    const atoms = writer.perChip ? (ensure<Sharding>(value.sharding, "sharding").dims[attrs.dimension] ?? []) : [];
    if (atoms.length === 0) return own;
    const index = writer.shardOffset(atoms, dims[attrs.dimension] ?? 0);
    const scalar = tensorType(dtype, []);
    const from = dtype === "i32" ? index : writer.temporary(`stablehlo.convert ${index} : (tensor<i32>) -> ${mlirType(scalar)}`);
    return `stablehlo.add ${writer.temporary(own)}, ${writer.temporary(splat(from, dtype, dims))} : ${mlirType(value.type)}`;
  },
  // Their numbers come from Lapidary's own generator, so initial states are exported as values or init specs instead.
  rng_normal: ({ value }) => {
    throw noCounterpart(value);
  },
  rng_uniform: ({ value }) => {
    throw noCounterpart(value);
  },
  carry: ({ value }) => {
    throw new Error(`invariant broken: ${value.name} is an argument of a while operation`);
  },
  yield: ({ value }) => {
    throw new Error(`invariant broken: ${value.name} is a result of a while operation`);
  },
};

const noCounterpart = ({ name, op }: Value): LapidaryError =>
  new LapidaryError({
    code: "LAP_EXPORT_OP",
    message: `cannot export ${name}: StableHLO has no counterpart of ${op}`,
    location: name,
  });
