import { ensure } from "@lapidary/std";
import { type Graph, type Phase, type Value, type ValueId, elementwiseNames, sameDims } from "@lapidary/ir";
import { MaskShares } from "./mask-share.js";

/**
 * How a chip computes attention. `flash`: one kernel for each pass, whose scores stay in the chip's vector memory. `plain`: matmuls and
 * loops as for any other ops, with scores in HBM, as XLA compiles the exported program.
 */
export type AttentionForm = "flash" | "plain";

/**
 * Attention as one kernel, with scores that stay in the chip's vector memory (Dao et al. 2022):
 *
 *     q · kᵀ ──► mask ──► max ──► exp ──► sum          all of the scores' dims: inside
 *        │                          └────► · v
 *        └ a matmul with batch dims and a result that is larger than both operands
 *
 * It is recognised by structure: the scores are the result of such a matmul and all values of its dims that elementwise ops
 * connect to it. They are fused if each of their uses is a score, a reduction or a matmul, and no score is an output. The scores
 * of each pass are a kernel. A kernel that reads scores of another pass (in the backward pass) recomputes them from q and k.
 */
export interface AttentionKernel {
  readonly phase: Phase;
  /** All values that the kernel computes, results included, in order. */
  readonly members: readonly ValueId[];
  /** Matmuls, among both results and scores. */
  readonly matmuls: readonly ValueId[];
  /** Scores of other passes that it recomputes, matmuls included. */
  readonly recomputed: readonly ValueId[];
  /** Values that it writes: matmuls with the scores, and reductions of the scores. */
  readonly results: readonly ValueId[];
  /** Operands that are not scores. */
  readonly reads: readonly ValueId[];
  /** Share of the score blocks that a causal mask does not hide, on the chip where it is largest; 1 if no such mask is recognised. */
  readonly visible: number;
}

export function attentionKernels(graph: Graph, users: readonly (readonly ValueId[])[]): AttentionKernel[] {
  const outputs = new Set(graph.outputs.map((o) => o.value));
  const shares = new MaskShares(graph);
  const taken = new Set<ValueId>();
  const kernels: AttentionKernel[] = [];
  for (const value of graph.values) {
    if (taken.has(value.id) || !isScoreMatmul(graph, value)) continue;
    const scores = scoresAround(graph, users, value, outputs);
    if (scores === undefined) continue;
    for (const id of scores) taken.add(id);
    kernels.push(...kernelsOf(graph, users, scores, visibleShare(graph, shares, scores)));
  }
  return kernels;
}

const valueAt = (graph: Graph, id: ValueId): Value => ensure(graph.values[id], "value");
const elements = (value: Value): number => value.type.dims.reduce((a, b) => a * b, 1);

function isScoreMatmul(graph: Graph, value: Value): boolean {
  if (value.op !== "dot_general" || value.attrs.batch.length === 0) return false;
  return value.inputs.every((id) => elements(valueAt(graph, id)) < elements(value));
}

/** The scores that are connected to `root`, or undefined if one of them is needed in memory. */
function scoresAround(
  graph: Graph,
  users: readonly (readonly ValueId[])[],
  root: Value,
  outputs: ReadonlySet<ValueId>,
): ValueId[] | undefined {
  const found = new Set([root.id]);
  const pending = [root];
  const isScores = (value: Value): boolean =>
    sameDims(value.type.dims, root.type.dims) && (elementwiseNames.has(value.op) || isScoreMatmul(graph, value));
  const visit = (value: Value): void => {
    if (found.has(value.id) || !isScores(value)) return;
    found.add(value.id);
    pending.push(value);
  };
  let matmuls = 0;
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (outputs.has(value.id) || value.role !== undefined) return undefined;
    for (const id of users[value.id] ?? []) {
      const user = valueAt(graph, id);
      if (user.op === "dot_general" && !isScores(user)) matmuls++;
      else if (user.op !== "reduce" && !isScores(user)) return undefined;
      visit(user);
    }
    if (value.op !== "dot_general") for (const id of value.inputs) visit(valueAt(graph, id));
  }
  return matmuls > 0 ? [...found].sort((a, b) => a - b) : undefined;
}

function kernelsOf(graph: Graph, users: readonly (readonly ValueId[])[], scores: readonly ValueId[], visible: number): AttentionKernel[] {
  const isScore = new Set(scores);
  const byPhase = new Map<Phase, ValueId[]>();
  const results = new Set(scores.flatMap((id) => users[id] ?? []).filter((id) => !isScore.has(id)));
  for (const id of [...scores, ...results].sort((a, b) => a - b)) {
    const { phase } = valueAt(graph, id).scope;
    byPhase.set(phase, [...(byPhase.get(phase) ?? []), id]);
  }
  return [...byPhase].map(([phase, members]) => {
    const own = new Set(members);
    const recomputed = new Set<ValueId>();
    const reads = new Set<ValueId>();
    const need = (id: ValueId): void => {
      if (own.has(id) || recomputed.has(id)) return;
      if (!isScore.has(id)) {
        reads.add(id);
        return;
      }
      recomputed.add(id);
      for (const input of valueAt(graph, id).inputs) need(input);
    };
    for (const id of members) for (const input of valueAt(graph, id).inputs) need(input);
    return {
      phase,
      members,
      matmuls: [...members, ...recomputed].filter((id) => valueAt(graph, id).op === "dot_general"),
      recomputed: [...recomputed],
      results: members.filter((id) => results.has(id)),
      reads: [...reads],
      visible,
    };
  });
}

/** 1 if no causal mask is recognised. */
function visibleShare(graph: Graph, shares: MaskShares, scores: readonly ValueId[]): number {
  const keys = valueAt(graph, ensure(scores[0], "scores")).type.dims.at(-1) ?? 1;
  for (const id of scores) {
    const { op, inputs } = valueAt(graph, id);
    if (op === "dot_general") continue;
    for (const input of inputs) {
      const visible = shares.visible(input, keys);
      if (visible !== undefined) return visible;
    }
  }
  return 1;
}
