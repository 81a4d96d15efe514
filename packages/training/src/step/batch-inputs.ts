import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";

/** Rows of a batch over all chips, and tokens of a row. */
export interface BatchShape {
  readonly batch: number;
  readonly seq: number;
}

/** The arrays of a batch, [batch, seq] each. */
export type BatchValues = Readonly<Record<"tokens" | "targets" | "mask", Value>>;

/** `tokens`, `targets` and `mask` of a step, [batch, seq]; a target counts where its mask is 1. */
export function batchParameters(g: GraphBuilder, { batch, seq }: BatchShape): BatchValues {
  const input = (name: string, dtype: "i32" | "f32"): Value =>
    g.parameter(name, tensorType(dtype, [batch, seq]), ["batch", "seq"], "batch");
  return { tokens: input("tokens", "i32"), targets: input("targets", "i32"), mask: input("mask", "f32") };
}
