import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { assert } from "@lapidary/std";

/** cos and signed sin of the rotations of every position, [T, E] each; the half-pairs (i, i + E/2) share their angle. */
export interface RopeTables {
  readonly cos: Value;
  /** −sin in the first half, +sin in the second: the factors of the swapped halves. */
  readonly signedSin: Value;
}

/**
 * Angles of rotary position embedding (Su et al. 2021): position t rotates pair i by t · theta^(−2i/E). Computed in the
 * graph from iota, so that every shard computes its own part.
 */
export function ropeTables(g: GraphBuilder, positions: number, headDim: number, theta: number): RopeTables {
  const type = tensorType("f32", [positions, headDim]);
  const [position, channel] = [g.iota(type, 0), g.iota(type, 1)];
  const half = headDim / 2;
  const second = g.compare(channel, g.splat(half, type), "GE");
  const pair = g.select(second, g.offset(channel, -half), channel);
  const angle = g.multiply(position, g.exponential(g.scale(pair, (-2 * Math.log(theta)) / headDim)));
  const sin = g.sine(angle);
  return { cos: g.named("rope_cos", g.cosine(angle)), signedSin: g.named("rope_sin", g.select(second, sin, g.negate(sin))) };
}

/** Both tables times a number: merges the scale of attention scores into the rotation of the queries. */
export const scaleTables = (g: GraphBuilder, { cos, signedSin }: RopeTables, factor: number): RopeTables => ({
  cos: g.scale(cos, factor),
  signedSin: g.scale(signedSin, factor),
});

/**
 * Rotates the pairs (i, i + E/2) of the last dim: x·cos + swap(x)·signedSin, and swap exchanges the halves.
 *
 * @param x [B, T, ..., E], positions in dim 1
 */
export function applyRope(g: GraphBuilder, x: Value, { cos, signedSin }: RopeTables): Value {
  const dims = x.type.dims;
  const last = dims.length - 1;
  const headDim = dims[last] ?? 0;
  assert(headDim % 2 === 0, "rotary embedding rotates pairs", headDim);
  const part = (from: number, to: number): Value =>
    g.slice(
      x,
      dims.map((_, d) => (d === last ? from : 0)),
      dims.map((size, d) => (d === last ? to : size)),
    );
  const swapped = g.concatenate([part(headDim / 2, headDim), part(0, headDim / 2)], last);
  const spread = (table: Value): Value => g.broadcastInDim(table, dims, [1, last]);
  return g.add(g.multiply(x, spread(cos)), g.multiply(swapped, spread(signedSin)));
}
