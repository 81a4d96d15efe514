import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import type { HiddenOptions, KeysAndValues } from "../model.js";
import { lowRank, type Projection, project } from "./projection.js";
import { applyRope, type RopeTables, ropeTables, scaleTables } from "./rope.js";

// B batch · T query positions · S key positions (T without a cache) · D model dim · K kv heads · G query heads of one kv head · E head dim

/** Tables that all layers share, computed once per graph. */
export interface AttentionTables {
  /** Rotations of the queries, multiplied by the scale E^-½ of the scores. */
  readonly queryRope: RopeTables;
  readonly keyRope: RopeTables;
  /** [T, S] or [B, T, S]: 0 if position t may attend to position s, `hiddenBias` otherwise. */
  readonly bias: Value;
}

/** The tables of a graph. A bias in the options takes the place of the causal mask. */
export const attentionTables = (
  g: GraphBuilder,
  positions: number,
  { headDim, ropeTheta }: { readonly headDim: number; readonly ropeTheta: number },
  { attentionBias, firstPosition }: HiddenOptions,
): AttentionTables =>
  g.scope("tables", () => {
    const keyRope = ropeTables(g, { positions, first: firstPosition }, headDim, ropeTheta);
    const queryRope = scaleTables(g, keyRope, 1 / Math.sqrt(headDim));
    return { keyRope, queryRope, bias: attentionBias ?? causalBias(g, positions) };
  });

/** The options' hook for the keys and values of one block. */
export const attendToOf = ({ attendTo }: HiddenOptions, block: number): AttendOptions["attendTo"] =>
  attendTo === undefined ? undefined : (fresh) => attendTo(block, fresh);

export interface AttentionWeights {
  /** [K·G·E, D]; head h = k·G + g reads kv head k. */
  readonly q: Projection;
  /** [K·E, D] */
  readonly k: Projection;
  /** [K·E, D] */
  readonly v: Projection;
  /** [D, K·G·E] */
  readonly o: Projection;
}

export interface AttentionShape {
  readonly kvHeads: number;
  /** Query heads of one kv head. */
  readonly groups: number;
  readonly headDim: number;
}

/** exp of a score plus this number is exactly 0 in f32, and so is its gradient. */
export const hiddenBias = -1e30;

function causalBias(g: GraphBuilder, positions: number): Value {
  const type = tensorType("i32", [positions, positions]);
  const bias = tensorType("f32", type.dims);
  const isVisible = g.compare(g.iota(type, 1), g.iota(type, 0), "LE");
  return g.named("causal_bias", g.select(isVisible, g.splat(0, bias), g.splat(hiddenBias, bias)));
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
  shape: AttentionShape,
  tables: AttentionTables,
  attendTo?: AttendOptions["attendTo"],
): Value {
  const projected = (name: "q" | "k" | "v"): Value =>
    project(g, name, x, weights[name], ["batch", "seq", name === "q" ? "heads" : "kv_heads"]);
  return attend(g, x.type.dims, projected, { o: weights.o, shape, tables, attendTo });
}

/** What attention needs besides its projections. */
export interface AttendOptions {
  /** [D, K·G·E] */
  readonly o: Projection;
  readonly shape: AttentionShape;
  readonly tables: AttentionTables;
  /** Receives the new keys and values, and returns those to attend to. */
  readonly attendTo?: ((fresh: KeysAndValues) => KeysAndValues) | undefined;
}

/**
 * Attention from projections.
 *
 * @param dims [B, T, D]
 * @param projected q [B, T, K·G·E], k and v [B, T, K·E]
 */
export function attend(
  g: GraphBuilder,
  [B = 0, T = 0, D = 0]: readonly number[],
  projected: (name: "q" | "k" | "v") => Value,
  { o, shape, tables, attendTo }: AttendOptions,
): Value {
  const { kvHeads: K, groups: G, headDim: E } = shape;
  const q = g.named("q_rope", applyRope(g, g.reshape(projected("q"), [B, T, K, G, E]), tables.queryRope));
  const fresh: KeysAndValues = {
    keys: g.named("k_rope", applyRope(g, g.reshape(projected("k"), [B, T, K, E]), tables.keyRope)),
    values: g.reshape(projected("v"), [B, T, K, E]),
  };
  const { keys: k, values: v } = attendTo === undefined ? fresh : attendTo(fresh);

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
  const masked = g.add(scores, g.broadcastInDim(tables.bias, dims, tables.bias.type.dims.length === 2 ? [2, 4] : [0, 2, 4]));
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
  const contracting = [
    [1, 1],
    [3, 2],
    [4, 3],
  ] as const;
  const times = (weight: Value): Value => g.dotGeneral(heads, g.reshape(weight, [weight.type.dims[0] ?? 0, K, G, E]), [], contracting);
  const out = g.named("out", times(o.weight));
  return o.adapter === undefined ? out : g.named("out_lora", g.add(out, lowRank(g, times(o.adapter.a), o.adapter)));
}
