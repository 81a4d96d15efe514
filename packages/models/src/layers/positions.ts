import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { assert } from "@lapidary/std";

/**
 * The order of the positions of a row [T] in equal parts, one for each chip of the axes that split the row.
 *
 * `contiguous`: part i has the positions from i · T / parts. `balanced`: part i has the pieces i and 2 · parts − 1 − i of 2 · parts pieces, so
 * that the causal mask leaves each part the same number of scores (MaxText `dual_chunk_swap`, torchtitan `headtail`):
 *
 *     piece of the row    0 1 2 3 4 5 6 7
 *     parts             │ 0 7 │ 1 6 │ 2 5 │ 3 4 │
 */
export interface RowOrder {
  readonly parts: number;
  readonly kind: "contiguous" | "balanced";
}

/**
 * The position of a token in its row.
 *
 * @param part i32: the part of the token
 * @param offset i32 of the dims of `part`: the index of the token in its part
 * @param length tokens of a part
 */
export function positionAt(g: GraphBuilder, { parts, kind }: RowOrder, part: Value, offset: Value, length: number): Value {
  if (kind === "contiguous") return g.add(g.scale(part, length), offset);
  const piece = length / 2;
  const ofFirst = g.add(g.scale(part, piece), offset);
  // The second piece of a part begins at (2 · parts − 1 − part) · piece, and the offset of its first token is `piece`.
  const ofSecond = g.offset(g.subtract(offset, g.scale(part, piece)), (2 * parts - 2) * piece);
  return g.select(g.compare(offset, g.splat(piece, offset.type), "LT"), ofFirst, ofSecond);
}

/** i32[T]: the position of each token of a row in balanced order. @param positions T, a multiple of 2 · parts */
export function balancedPositions(g: GraphBuilder, positions: number, parts: number): Value {
  const type = tensorType("i32", [parts, positions / parts]);
  const position = positionAt(g, { parts, kind: "balanced" }, g.iota(type, 0), g.iota(type, 1), positions / parts);
  return g.named("balanced_positions", g.reshape(position, [positions]));
}

/** The piece of a row at each place of the balanced order. */
const balancedPieces = (parts: number): number[] =>
  Array.from({ length: 2 * parts }, (_, at) => (at % 2 === 0 ? at / 2 : 2 * parts - (at + 1) / 2));

/** Rows [B, T, …] in balanced order. */
export const toBalanced = (g: GraphBuilder, x: Value, parts: number): Value => reordered(g, x, balancedPieces(parts));

/** Rows in balanced order [B, T, …] in the order of their positions. */
export function fromBalanced(g: GraphBuilder, x: Value, parts: number): Value {
  const pieces = balancedPieces(parts);
  return reordered(
    g,
    x,
    pieces.map((_, piece) => pieces.indexOf(piece)),
  );
}

/** Rows [B, T, …] as pieces of the given indices. */
function reordered(g: GraphBuilder, x: Value, pieces: readonly number[]): Value {
  const [B = 0, T = 0, ...rest] = x.type.dims;
  const length = T / pieces.length;
  assert(Number.isInteger(length), "twice the parts divide the positions", T, pieces.length);
  const zeros = rest.map(() => 0);
  const parts = pieces.map((piece) => g.slice(x, [0, piece * length, ...zeros], [B, (piece + 1) * length, ...rest]));
  return g.concatenate(parts, 1);
}
