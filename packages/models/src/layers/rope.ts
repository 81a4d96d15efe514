import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { assert } from "@lapidary/std";
import type { Rope, RopeScaling } from "../model-config.js";

/** cos and signed sin of the rotations of every position, [T, E] each; the half-pairs (i, i + E/2) share their angle. */
export interface RopeTables {
  readonly cos: Value;
  /** −sin in the first half, +sin in the second: the factors of the swapped halves. */
  readonly signedSin: Value;
}

/** Consecutive positions, or those of a given order. */
export interface Positions {
  readonly positions: number;
  /** i32 scalar: the first of them, 0 by default. */
  readonly first?: Value | undefined;
  /** i32[positions]: the position of each token. */
  readonly order?: Value | undefined;
}

/**
 * Angles of rotary position embedding (Su et al. 2021): position t rotates pair i by t · theta^(−2i/E), or by a
 * scaled frequency. Computed in the graph from iota, so that every shard computes its own part.
 */
export function ropeTables(g: GraphBuilder, { positions, first, order }: Positions, headDim: number, { theta, scaling }: Rope): RopeTables {
  const type = tensorType("f32", [positions, headDim]);
  const fromZero = order === undefined ? g.iota(type, 0) : g.broadcastInDim(g.convert(order, "f32"), type.dims, [0]);
  const channel = g.iota(type, 1);
  const position = first === undefined ? fromZero : g.add(fromZero, g.broadcastInDim(g.convert(first, "f32"), type.dims, []));
  const half = headDim / 2;
  const second = g.compare(channel, g.splat(half, type), "GE");
  const pair = g.select(second, g.offset(channel, -half), channel);
  const frequency = scaledFrequency(g, g.exponential(g.scale(pair, (-2 * Math.log(theta)) / headDim)), scaling);
  const angle = g.multiply(position, frequency);
  const sin = g.sine(angle);
  return { cos: g.named("rope_cos", g.cosine(angle)), signedSin: g.named("rope_sin", g.select(second, sin, g.negate(sin))) };
}

/**
 * `llama3` interpolates by how often a wave fits into the original context: f · (1/factor + s · (1 − 1/factor)), and s grows from 0 at
 * `lowFreqFactor` waves to 1 at `highFreqFactor` waves.
 */
function scaledFrequency(g: GraphBuilder, frequency: Value, scaling: RopeScaling | undefined): Value {
  if (scaling === undefined) return frequency;
  if (scaling.kind === "linear") return g.scale(frequency, 1 / scaling.factor);
  const { factor, lowFreqFactor: low, highFreqFactor: high, originalContext } = scaling;
  const waves = g.scale(frequency, originalContext / (2 * Math.PI));
  const ramp = g.scale(g.offset(waves, -low), 1 / (high - low));
  const share = g.maximum(g.minimum(ramp, g.splat(1, ramp.type)), g.splat(0, ramp.type));
  return g.multiply(frequency, g.offset(g.scale(share, 1 - 1 / factor), 1 / factor));
}

/** `scaledFrequency` of a number. */
export function ropeFrequency({ theta, scaling }: Rope, pair: number, headDim: number): number {
  const frequency = theta ** ((-2 * pair) / headDim);
  if (scaling === undefined) return frequency;
  if (scaling.kind === "linear") return frequency / scaling.factor;
  const { factor, lowFreqFactor: low, highFreqFactor: high, originalContext } = scaling;
  const waves = (frequency * originalContext) / (2 * Math.PI);
  const share = Math.min(Math.max((waves - low) / (high - low), 0), 1);
  return frequency * (1 / factor + share * (1 - 1 / factor));
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
