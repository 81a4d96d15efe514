import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { applyRope, type RopeTables } from "./rope.js";

// B batch · T query positions · S key positions (= T) · D model dim · K kv heads · G query heads of one kv head · E head dim

/** Tables that all layers share, computed once per graph. */
export interface AttentionTables {
  /** Rotations of the queries, multiplied by the scale E^-½ of the scores. */
  readonly queryRope: RopeTables;
  readonly keyRope: RopeTables;
  /** [T, S]: 0 if position t may attend to position s, a large negative number otherwise. */
  readonly causalBias: Value;
}

export interface AttentionWeights {
  /** [K·G·E, D]; head h = k·G + g reads kv head k. */
  readonly q: Value;
  /** [K·E, D] */
  readonly k: Value;
  /** [K·E, D] */
  readonly v: Value;
  /** [D, K·G·E] */
  readonly o: Value;
}

/** exp of a score plus this number is exactly 0 in f32, and so is its gradient. */
const hidden = -1e30;

export function causalBias(g: GraphBuilder, positions: number): Value {
  const type = tensorType("i32", [positions, positions]);
  const bias = tensorType("f32", type.dims);
  const isVisible = g.compare(g.iota(type, 1), g.iota(type, 0), "LE");
  return g.named("causal_bias", g.select(isVisible, g.splat(0, bias), g.splat(hidden, bias)));
}

/**
 * Causal attention with K key-value heads for K·G query heads: multi-query (K = 1), grouped and multi-head (G = 1) use
 * one formula, because queries have a separate dim for their kv head. No head is repeated.
 *
 * The division by the sums over S follows the matmul with v, because that array is smaller than the scores.
 *
 * @param x [B, T, D], normalised
 * @returns [B, T, D], what the block adds to the residual stream
 */
export function attention(
  g: GraphBuilder,
  x: Value,
  weights: AttentionWeights,
  shape: { kvHeads: number; groups: number; headDim: number },
  tables: AttentionTables,
): Value {
  const project = (name: string, weight: Value, axis: string): Value =>
    g.named(name, g.dotGeneral(x, weight, [], [[2, 1]]), ["batch", "seq", axis]);
  return attend(g, x.type.dims, (name) => project(name, weights[name], name === "q" ? "heads" : "kv_heads"), weights.o, shape, tables);
}

/**
 * Attention from projections.
 *
 * @param dims [B, T, D]
 * @param projected q [B, T, K·G·E], k and v [B, T, K·E]
 * @param o [D, K·G·E]
 */
export function attend(
  g: GraphBuilder,
  [B = 0, T = 0, D = 0]: readonly number[],
  projected: (name: "q" | "k" | "v") => Value,
  o: Value,
  shape: { kvHeads: number; groups: number; headDim: number },
  tables: AttentionTables,
): Value {
  const { kvHeads: K, groups: G, headDim: E } = shape;
  const q = g.named("q_rope", applyRope(g, g.reshape(projected("q"), [B, T, K, G, E]), tables.queryRope));
  const k = g.named("k_rope", applyRope(g, g.reshape(projected("k"), [B, T, K, E]), tables.keyRope));
  const v = g.reshape(projected("v"), [B, T, K, E]);

  const scores = g.named(
    "scores",
    g.dotGeneral(
      q,
      k,
      [
        [0, 0],
        [2, 2],
      ],
      [[4, 3]],
    ),
  ); // [B, K, T, G, S]
  const dims = scores.type.dims;
  const masked = g.add(scores, g.broadcastInDim(tables.causalBias, dims, [2, 4]));
  const max = g.stopGradient(g.reduce(masked, [4], "max"));
  const e = g.named("exp_scores", g.exponential(g.subtract(masked, g.broadcastInDim(max, dims, [0, 1, 2, 3]))));
  // One division per row. The multiplication by its inverse, and the gradient, are passes over the whole array without division.
  const sum = g.reduce(e, [4], "sum"); // [B, K, T, G]
  const inverse = g.divide(g.splat(1, sum.type), sum);

  const weighted = g.dotGeneral(
    e,
    v,
    [
      [0, 0],
      [1, 2],
    ],
    [[4, 1]],
  ); // [B, K, T, G, E]
  const heads = g.named("heads", g.multiply(weighted, g.broadcastInDim(inverse, weighted.type.dims, [0, 1, 2, 3])));
  return g.named(
    "out",
    g.dotGeneral(
      heads,
      g.reshape(o, [D, K, G, E]),
      [],
      [
        [1, 1],
        [3, 2],
        [4, 3],
      ],
    ),
  );
}
