import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";

/** Rows of a batch over all chips, and tokens of a row. */
export interface BatchShape {
  readonly batch: number;
  readonly seq: number;
}

/** `tokens`, `targets` and `mask` of a step, [batch, seq]; a target counts where its mask is 1. */
export function batchParameters(g: GraphBuilder, { batch, seq }: BatchShape): { tokens: Value; targets: Value; mask: Value } {
  const input = (name: string, dtype: "i32" | "f32"): Value =>
    g.parameter(name, tensorType(dtype, [batch, seq]), ["batch", "seq"], "batch");
  return { tokens: input("tokens", "i32"), targets: input("targets", "i32"), mask: input("mask", "f32") };
}
