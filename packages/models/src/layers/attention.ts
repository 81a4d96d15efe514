import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import { type LayerType, layerTypesOf, type ModelConfig, ropeOf } from "../model-config.js";
import type { HiddenOptions, KeysAndValues } from "../model.js";
import { exchangeHeads, type HeadExchange, type Heads, returnHeads } from "./head-exchange.js";
import { hiddenBias } from "./hidden-bias.js";
import { lowRank, type Projection } from "./projection.js";
import { applyRope, type RopeTables, ropeTables, scaleTables } from "./rope.js";
import { softCap } from "./soft-cap.js";
import { balancedPositions } from "./positions.js";
import { type Ring, ringAttention, ringOf } from "./ring.js";
import { blockBias, keysOfBlocks, toBlocks, type WindowBlocks, windowBlocks } from "./window-blocks.js";

// B batch · T query positions · S key positions (T without a cache) · D model dim · K kv heads · G query heads of one kv head · E head dim

/** Tables that all layers of a type share, computed once per graph. */
export interface AttentionTables {
  /** Rotations of the queries, multiplied by the scale of the scores. */
  readonly queryRope: RopeTables;
  readonly keyRope: RopeTables;
  /** [T, S] or [B, T, S]: 0 if position t may attend to position s, `hiddenBias` otherwise. With blocks, [block, query, key]. Absent with a ring. */
  readonly bias?: Value | undefined;
  /** Blocks of attention with a window, so that scores outside the window are not computed. */
  readonly blocks?: WindowBlocks | undefined;
  /** Attention in steps of a ring, which has its own biases. */
  readonly ring?: Ring | undefined;
}

/**
 * The tables of each type of layers that a model has. A bias in the options takes the place of the causal mask.
 *
 * @param ringParts parts of a row in a ring; undefined: no ring
 */
export function attentionTables(
  g: GraphBuilder,
  positions: number,
  config: ModelConfig,
  { attentionBias, firstPosition, attendTo, balancedParts }: HiddenOptions,
  ringParts?: number,
): (type: LayerType) => AttentionTables {
  const types = new Set(layerTypesOf(config));
  const queryScale = 1 / Math.sqrt(config.queryScalar ?? config.headDim);
  const tablesOf = g.scope("tables", () => {
    const order = balancedParts === undefined ? undefined : balancedPositions(g, positions, balancedParts);
    const ropes = (type: LayerType): Pick<AttentionTables, "queryRope" | "keyRope"> => {
      const keyRope = ropeTables(g, { positions, first: firstPosition, order }, config.headDim, ropeOf(config, type));
      return { keyRope, queryRope: scaleTables(g, keyRope, queryScale) };
    };
    const first = ropes(types.has("full") ? "full" : "window");
    const window = config.window ?? Infinity;
    // A given bias or a cache decides by itself which keys there are.
    const isCausal = attentionBias === undefined && attendTo === undefined;
    assert(order === undefined || (isCausal && firstPosition === undefined && !types.has("window")), "balanced rows are whole and causal");
    const blocks = isCausal ? windowBlocks(positions, window) : undefined;
    const parts = isCausal ? ringParts : undefined;
    const ring = (width: number, of: number): Ring =>
      ringOf(g, positions, { parts: of, kind: order === undefined ? "contiguous" : "balanced" }, width);
    const needsBias = parts === undefined && (types.has("full") || blocks === undefined);
    const visible = attentionBias ?? (needsBias ? causalBias(g, positions, balancedParts) : undefined);
    const tables = new Map<LayerType, AttentionTables>();
    if (types.has("full")) tables.set("full", { ...first, ...(parts === undefined ? { bias: visible } : { ring: ring(Infinity, parts) }) });
    if (types.has("window"))
      tables.set("window", {
        ...(types.has("full") && config.windowRope !== undefined ? ropes("window") : first),
        ...(blocks !== undefined
          ? { bias: blockBias(g, blocks, window), blocks }
          : parts !== undefined
            ? { ring: ring(window, parts) }
            : { bias: windowBias(g, ensure(visible, "bias"), window, firstPosition) }),
      });
    return tables;
  });
  return (type) => ensure(tablesOf.get(type), type);
}

/** The options' hook for the keys and values of one block. */
export const attendToOf = ({ attendTo }: HiddenOptions, block: number): AttendOptions["attendTo"] =>
  attendTo === undefined ? undefined : (fresh) => attendTo(block, fresh);

interface AttentionShape {
  readonly kvHeads: number;
  /** Query heads of one kv head. */
  readonly groups: number;
  readonly headDim: number;
  /** Scores s become cap · tanh(s / cap). */
  readonly cap?: number | undefined;
}

/** @param balancedParts of `HiddenOptions` */
function causalBias(g: GraphBuilder, positions: number, balancedParts: number | undefined): Value {
  const type = tensorType("i32", [positions, positions]);
  const bias = tensorType("f32", type.dims);
  // Queries and keys have an array each, so that a chip computes the positions of all keys, and does not gather those of its own queries.
  const along = (dim: number): Value =>
    balancedParts === undefined ? g.iota(type, dim) : g.broadcastInDim(balancedPositions(g, positions, balancedParts), type.dims, [dim]);
  const isVisible = g.compare(along(1), along(0), "LE");
  return g.named("causal_bias", g.select(isVisible, g.splat(0, bias), g.splat(hiddenBias, bias)));
}

/** A bias that also hides the positions before the last `window` positions. The first query is at `first`, 0 by default. */
function windowBias(g: GraphBuilder, bias: Value, window: number, first: Value | undefined): Value {
  const dims = bias.type.dims;
  const last = dims.length - 1;
  if (window >= (dims[last] ?? 0)) return bias;
  const type = tensorType("i32", dims);
  const row = g.iota(type, last - 1);
  const query = first === undefined ? row : g.add(row, g.broadcastInDim(first, dims, []));
  const isInWindow = g.compare(g.iota(type, last), g.offset(query, -window), "GT");
  return g.named("window_bias", g.select(isInWindow, bias, g.splat(hiddenBias, bias.type)));
}

/** What attention needs besides its projections. */
export interface AttendOptions {
  /** [D, K·G·E] */
  readonly o: Projection;
  readonly shape: AttentionShape;
  readonly tables: AttentionTables;
  /** Normalises each head of the queries or keys [..., E]. */
  readonly normalizeHeads?: ((x: Value, of: "q" | "k") => Value) | undefined;
  /** Heads are exchanged for positions around the scores. */
  readonly exchange?: HeadExchange | undefined;
  /** Receives the new keys and values, and returns those to attend to. */
  readonly attendTo?: ((fresh: KeysAndValues) => KeysAndValues) | undefined;
}

/**
 * Causal attention with K key-value heads for K·G query heads: multi-query (K = 1), grouped and multi-head (G = 1) use
 * one formula, because queries have a separate dim for their kv head. No head is repeated.
 *
 * The division by the sums over S follows the matmul with v, because that array is smaller than the scores.
 *
 * @param dims [B, T, D]
 * @param projected q [B, T, K·G·E], head h = k·G + g reads kv head k; k and v [B, T, K·E]
 * @returns [B, T, D], what the block adds to the residual stream
 */
export function attend(
  g: GraphBuilder,
  [B = 0, T = 0]: readonly number[],
  projected: (name: "q" | "k" | "v") => Value,
  { o, shape, tables, normalizeHeads = (x) => x, exchange, attendTo }: AttendOptions,
): Value {
  const { headDim: E, cap } = shape;
  const own = ownHeads(g, [B, T], projected, { shape, tables, normalizeHeads });
  const { q, keys, values } = exchange === undefined ? own : exchangeHeads(g, own, exchange);
  const [K, G] = [q.type.dims[2] ?? 0, q.type.dims[3] ?? 0];
  const fresh: KeysAndValues = { keys, values };
  const attended = attendTo === undefined ? fresh : attendTo(fresh);
  const { blocks, ring } = tables;
  if (ring !== undefined) {
    const out = outProjection(g, ringAttention(g, q, attended, ring, cap), [2, 4, 5], o);
    return g.renamed(g.reshape(out, [B, T, out.type.dims.at(-1) ?? 0]), out.name);
  }
  const [queries, k, v] =
    blocks === undefined
      ? [q, attended.keys, attended.values]
      : [toBlocks(g, q, blocks), keysOfBlocks(g, attended.keys, blocks), keysOfBlocks(g, attended.values, blocks)];

  // The leading dims are [B], or [B, block]. L is their number.
  const L = blocks === undefined ? 1 : 2;
  const leading = Array.from({ length: L }, (_, d) => [d, d] as const);
  const scores = g.named("scores", g.dotGeneral(queries, k, [...leading, [L + 1, L + 1]], [[L + 3, L + 2]])); // [..., K, T, G, S]
  const dims = scores.type.dims;
  const bias = ensure(tables.bias, "bias");
  const ofBias = [...(bias.type.dims.length === 2 ? [] : [L - 1]), L + 1, L + 3];
  const masked = g.add(softCap(g, scores, cap), g.broadcastInDim(bias, dims, ofBias));
  const rows = dims.map((_, d) => d).slice(0, L + 3);
  const max = g.stopGradient(g.reduce(masked, [L + 3], "max"));
  const e = g.named("exp_scores", g.exponential(g.subtract(masked, g.broadcastInDim(max, dims, rows))));
  // One division per row. The multiplication by its inverse, and the gradient, are passes over the whole array without division.
  const sum = g.reduce(e, [L + 3], "sum"); // [..., K, T, G]
  const inverse = g.divide(g.splat(1, sum.type), sum);

  const weighted = g.dotGeneral(e, v, [...leading, [L, L + 1]], [[L + 3, L]]); // [..., K, T, G, E]
  const heads = g.named("heads", g.multiply(weighted, g.broadcastInDim(inverse, weighted.type.dims, rows)));
  if (exchange !== undefined) {
    const ordered = g.transpose(heads, blocks === undefined ? [0, 2, 1, 3, 4] : [0, 1, 3, 2, 4, 5]);
    return outProjection(g, returnHeads(g, g.reshape(ordered, [B, T, K, G, E])), [2, 3, 4], o);
  }
  const out = outProjection(g, heads, [L, L + 2, L + 3], o);
  return blocks === undefined ? out : g.renamed(g.reshape(out, [B, T, out.type.dims.at(-1) ?? 0]), out.name);
}

/** The sum over heads and head dims, which are the dims `at` of `heads`, with the output projection [D, K·G·E]. */
function outProjection(g: GraphBuilder, heads: Value, at: readonly [number, number, number], o: Projection): Value {
  const dims = at.map((d) => heads.type.dims[d] ?? 0);
  const times = (weight: Value): Value =>
    g.dotGeneral(
      heads,
      g.reshape(weight, [weight.type.dims[0] ?? 0, ...dims]),
      [],
      at.map((d, i) => [d, i + 1] as const),
    );
  const out = g.named("out", times(o.weight));
  return o.adapter === undefined ? out : g.named("out_lora", g.add(out, lowRank(g, times(o.adapter.a), o.adapter)));
}

function ownHeads(
  g: GraphBuilder,
  [B, T]: readonly [number, number],
  projected: (name: "q" | "k" | "v") => Value,
  {
    shape,
    tables,
    normalizeHeads,
  }: Required<Pick<AttendOptions, "shape" | "tables">> & {
    readonly normalizeHeads: (x: Value, of: "q" | "k") => Value;
  },
): Heads {
  const { kvHeads: K, groups: G, headDim: E } = shape;
  return {
    q: g.named("q_rope", applyRope(g, normalizeHeads(g.reshape(projected("q"), [B, T, K, G, E]), "q"), tables.queryRope)),
    keys: g.named("k_rope", applyRope(g, normalizeHeads(g.reshape(projected("k"), [B, T, K, E]), "k"), tables.keyRope)),
    values: g.reshape(projected("v"), [B, T, K, E]),
  };
}
