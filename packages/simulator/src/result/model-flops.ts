import { must } from "@lapidary/std";
import { type Graph, parametersOf, sizeOf } from "@lapidary/ir";
import { usefulFlops } from "../cost/matmul.js";

/** What a step is worth, whatever it costs: the numerator of MFU. Over all chips. */
export interface ModelFlops {
  readonly parameters: number;
  readonly tokens: number;
  /** 6 · parameters · tokens. */
  readonly weights: number;
  /** Products of activations with one another (those with batch dims), forward and twice that backward; all of the scores counted. */
  readonly attention: number;
}

/**
 * From the unpartitioned step. Attention is 12 · layers · heads · head dim · S a token when the full square counts, as MaxText's published runs do, and half of it when only what a causal
 * mask leaves counts.
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
        value.inputs.map((id) => must(graph.values[id], "operand")),
      );
  }
  return { parameters, tokens, weights: 6 * parameters * tokens, attention };
}
