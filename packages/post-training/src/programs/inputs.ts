import { type Dtype, type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { type HiddenOptions, segmentBias } from "@lapidary/models";

/** The rows of a program: B rows of T tokens over all chips. */
export interface SequenceShape {
  readonly batch: number;
  readonly seq: number;
  /**
   * Whether rows have an input `segments`. Rows that hold several documents and rows that are padded on the left need it. Without it a row is
   * one document, padded on the right.
   */
  readonly segments: boolean;
}

/** One array of the batch: [B, T] or [B]. */
export const batchInput = (g: GraphBuilder, name: string, dtype: Dtype, dims: readonly number[]): Value =>
  g.parameter(name, tensorType(dtype, dims), dims.length === 2 ? ["batch", "seq"] : ["batch"], "batch");

/** `tokens` i32[B, T] of a program, and `segments` i32[B, T] if its rows have them. */
export const tokenInputs = (
  g: GraphBuilder,
  { batch, seq, segments }: SequenceShape,
): { readonly tokens: Value; readonly segments?: Value } => ({
  tokens: batchInput(g, "tokens", "i32", [batch, seq]),
  ...(segments ? { segments: batchInput(g, "segments", "i32", [batch, seq]) } : {}),
});

/** The attention options that the segments of rows give. */
export const attentionOptions = (g: GraphBuilder, segments: Value | undefined): HiddenOptions =>
  segments === undefined ? {} : { attentionBias: segmentBias(g, segments) };

/** `tokens` of a program, and the attention options that its `segments` give. */
export function sequenceInputs(g: GraphBuilder, shape: SequenceShape): { tokens: Value; options: HiddenOptions } {
  const { tokens, segments } = tokenInputs(g, shape);
  return { tokens, options: attentionOptions(g, segments) };
}

/** `targets` i32[B, T], the token after each position, and `mask` f32[B, T], 1 where it counts. */
export const targetInputs = (g: GraphBuilder, { batch, seq }: SequenceShape): { targets: Value; mask: Value } => ({
  targets: batchInput(g, "targets", "i32", [batch, seq]),
  mask: batchInput(g, "mask", "f32", [batch, seq]),
});
