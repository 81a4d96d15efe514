import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { hiddenBias } from "./hidden-bias.js";

/**
 * The attention bias of rows that hold several documents: position t attends to the positions s ≤ t of its own segment.
 * Padding is a segment of its own, so that no row of the softmax is empty.
 *
 * @param segments i32[B, T]: the document of each position, 0 for padding
 * @returns f32[B, T, T]
 */
export function segmentBias(g: GraphBuilder, segments: Value): Value {
  const [B = 0, T = 0] = segments.type.dims;
  const dims = [B, T, T];
  const position = tensorType("i32", dims);
  const isEarlier = g.compare(g.iota(position, 2), g.iota(position, 1), "LE");
  const isSame = g.compare(g.broadcastInDim(segments, dims, [0, 1]), g.broadcastInDim(segments, dims, [0, 2]), "EQ");
  const bias = tensorType("f32", dims);
  return g.named("segment_bias", g.select(g.and(isEarlier, isSame), g.splat(0, bias), g.splat(hiddenBias, bias)));
}
