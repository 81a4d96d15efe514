import { type TensorType, tensorType } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { signature } from "./mlir.js";
import type { Printed } from "./op-printer.js";
import type { Writer } from "./writer.js";

/** A printed array that is a piece of another. */
export interface Piece {
  readonly name: string;
  readonly type: TensorType;
}

/** A type with another size of one dim. */
export const withRows = ({ dtype, dims }: TensorType, dimension: number, rows: number): TensorType =>
  tensorType(
    dtype,
    dims.map((size, d) => (d === dimension ? rows : size)),
  );

/** Prints rows of an array along one dim; the array itself if these are all. */
export function rowsOf(
  writer: Writer,
  name: string,
  type: TensorType,
  { dimension, start, limit }: { readonly dimension: number; readonly start: number; readonly limit: number },
): Piece {
  if (limit - start === type.dims[dimension]) return { name, type };
  const piece = withRows(type, dimension, limit - start);
  const range = type.dims.map((size, d) => (d === dimension ? `${start}:${limit}` : `0:${size}`)).join(", ");
  return { name: writer.temporary(`stablehlo.slice ${name} [${range}] : ${signature([type], piece)}`), type: piece };
}

/** The pieces of an array, one after the other along one dim. */
export function joined(pieces: readonly Piece[], dimension: number, type: TensorType): Printed {
  if (pieces.length === 1) return { sameAs: ensure(pieces[0], "piece").name };
  const types = pieces.map((piece) => piece.type);
  return `stablehlo.concatenate ${pieces.map(({ name }) => name).join(", ")}, dim = ${dimension} : ${signature(types, type)}`;
}
