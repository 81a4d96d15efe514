import { ensure } from "@lapidary/std";
import { type Graph, parametersOf, sizeOf } from "@lapidary/ir";
import { usefulFlops } from "../cost/matmul.js";

/** Useful flops of a step on all chips: the numerator of MFU. */
export interface ModelFlops {
  readonly parameters: number;
  readonly tokens: number;
  /** 6 · parameters · tokens. */
  readonly weights: number;
  /** Flops of matmuls between activations (those with batch dims): forward, and twice that backward. All scores are counted. */
  readonly attention: number;
}

/**
 * Counts the flops of the unpartitioned step. Attention has 12 · layers · heads · head dim · S flops per token if all scores are
 * counted, as in MaxText's published runs, and half of it if only the scores below a causal mask are counted.
 */
export function modelFlops(graph: Graph): ModelFlops {
  const parameters = parametersOf(graph).reduce((n, value) => n + (value.role === "param" ? sizeOf(value.type.dims) : 0), 0);
  const batch = parametersOf(graph).filter((value) => value.role === "batch");
  const tokens = Math.max(0, ...batch.map((value) => sizeOf(value.type.dims)));
  let attention = 0;
  for (const value of graph.values) {
    if (value.op !== "dot_general" || value.scope.phase !== "forward" || value.attrs.batch.length === 0) continue;
    attention +=
      3 *
      usefulFlops(
        value,
        value.inputs.map((id) => ensure(graph.values[id], "operand")),
      );
  }
  return { parameters, tokens, weights: 6 * parameters * tokens, attention };
}
