import { ensure } from "@lapidary/std";
import { type Graph, type Value, parametersOf, runsOf, sizeOf } from "@lapidary/ir";
import { usefulFlops } from "../cost/matmul.js";

/** Useful flops of a run of a program on all chips: the numerator of MFU. */
export interface ModelFlops {
  readonly parameters: number;
  /** Parameters that a token uses: of the experts of a mixture only the chosen ones. */
  readonly activeParameters: number;
  readonly tokens: number;
  /** 6 · active parameters · tokens; 2 · active parameters · tokens without a backward pass. */
  readonly weights: number;
  /** Flops of attention: forward, and twice that in a backward pass. All scores are counted, in a layer with a window those of the window. */
  readonly attention: number;
  /** As `attention`, with only the scores that the causal mask leaves. */
  readonly causalAttention: number;
  /** How the flops were counted: from the configuration of the model, or from the matmuls of the program. */
  readonly rule: "model" | "program";
}

/**
 * Counts the flops of the unpartitioned program, for programs without the configuration of a model: all parameters are active, and
 * attention is the matmuls between activations (those with batch dims). Attention has 12 · layers · heads · head dim · S flops per token if all scores are
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
  return {
    parameters,
    activeParameters: parameters,
    tokens,
    weights: 2 * passes * parameters * tokens,
    attention,
    causalAttention: attention / 2,
    rule: "program",
  };
}

/** The tokens of a batch input: the product of its dims that count rows or positions of rows. All dims, if it does not name them. */
const tokensOf = ({ type, logicalAxes }: Value): number =>
  sizeOf(type.dims.filter((_, d) => logicalAxes === undefined || logicalAxes[d] === "batch" || logicalAxes[d] === "seq"));
