import { ensure } from "@lapidary/std";
import { type Graph, type Value, parametersOf, runsOf, sizeOf } from "@lapidary/ir";
import { usefulFlops } from "../cost/matmul.js";

/** Useful flops of a run of a program on all chips: the numerator of MFU. */
export interface ModelFlops {
  readonly parameters: number;
  readonly tokens: number;
  /** 6 · parameters · tokens; 2 · parameters · tokens without a backward pass. */
  readonly weights: number;
  /** Flops of matmuls between activations (those with batch dims): forward, and twice that in a backward pass. All scores are counted. */
  readonly attention: number;
}

/**
 * Counts the flops of the unpartitioned program. Attention has 12 · layers · heads · head dim · S flops per token if all scores are
 * counted, as in MaxText's published runs, and half of it if only the scores below a causal mask are counted.
 */
export function modelFlops(graph: Graph): ModelFlops {
  const inputs = parametersOf(graph);
  const parameters = inputs.reduce((n, { role, type }) => n + (role === "param" || role === "gathered" ? sizeOf(type.dims) : 0), 0);
  const tokens = Math.max(0, ...inputs.filter(({ role }) => role === "batch").map(tokensOf));
  const passes = graph.values.some(({ scope }) => scope.phase === "backward") ? 3 : 1;
  let attention = 0;
  for (const value of graph.values) {
    if (value.op !== "dot_general" || value.scope.phase !== "forward" || value.attrs.batch.length === 0) continue;
    attention +=
      passes *
      runsOf(value) *
      usefulFlops(
        value,
        value.inputs.map((id) => ensure(graph.values[id], "operand")),
      );
  }
  return { parameters, tokens, weights: 2 * passes * parameters * tokens, attention };
}

/** The tokens of a batch input: the product of its dims that count rows or positions of rows. All dims, if it does not name them. */
const tokensOf = ({ type, logicalAxes }: Value): number =>
  sizeOf(type.dims.filter((_, d) => logicalAxes === undefined || logicalAxes[d] === "batch" || logicalAxes[d] === "seq"));
