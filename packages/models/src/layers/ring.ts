import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { KeysAndValues } from "../model.js";
import { hiddenBias } from "./hidden-bias.js";
import { positionAt, type RowOrder } from "./positions.js";
import { softCap } from "./soft-cap.js";

// B batch · n parts of a row · c positions of a part · K kv heads · G query heads of one kv head · E head dim

/** Attention in as many steps as a row has parts. */
export interface Ring {
  readonly parts: number;
  /** For each step, f32[n, c, c]: 0 if query position t of a part may attend to key position s of the part that the step brings, else `hiddenBias`. */
  readonly biases: readonly Value[];
}

/** @param positions T, a multiple of the parts. @param window positions that a query attends to, Infinity by default */
export function ringOf(g: GraphBuilder, positions: number, order: RowOrder, window = Infinity): Ring {
  const { parts } = order;
  const c = positions / parts;
  const type = tensorType("i32", [parts, c, c]);
  const bias = tensorType("f32", type.dims);
  const [part, query, key] = [0, 1, 2].map((d) => g.iota(type, d)) as [Value, Value, Value];
  const ofQuery = positionAt(g, order, part, query, c);
  const biases = Array.from({ length: parts }, (_, step) => {
    const before = g.offset(part, -step);
    const from = step === 0 ? part : g.select(g.compare(before, g.splat(0, type), "LT"), g.offset(before, parts), before);
    const ofKey = positionAt(g, order, from, key, c);
    const isEarlier = g.compare(ofKey, ofQuery, "LE");
    const isVisible = window < positions ? g.and(isEarlier, g.compare(ofKey, g.offset(ofQuery, -window), "GT")) : isEarlier;
    return g.named(`ring_bias_${step}`, g.select(isVisible, g.splat(0, bias), g.splat(hiddenBias, bias)));
  });
  return { parts, biases };
}

/**
 * Context parallelism by a ring (Ring Attention, Liu et al. 2023). In each step, every part attends to the keys and values of one part, and
 * passes them on to the next part by a `shift`, which chips that split the parts compute by a collective_permute. No chip has all keys.
 *
 *     step 0: part i has the keys of part i · step 1: of part i − 1 · …        running maximum m, sum l and result o:
 *     m' = max(m, max s)    l' = l · exp(m − m') + Σ exp(s − m')    o' = o · exp(m − m') + exp(s − m') · v
 *
 * The first step is that of the own part, in which each query sees its own position, so that the maximum is a score from then on.
 *
 * @param q [B, T, K, G, E]
 * @returns the attended heads [B, n, K, c, G, E]
 */
export function ringAttention(
  g: GraphBuilder,
  q: Value,
  { keys, values }: KeysAndValues,
  { parts, biases }: Ring,
  cap: number | undefined,
): Value {
  const inParts = (x: Value): Value => {
    const [B = 0, T = 0, ...rest] = x.type.dims;
    return g.reshape(x, [B, parts, T / parts, ...rest]);
  };
  const queries = inParts(q);
  let [k, v] = [inParts(keys), inParts(values)];
  let state: { readonly max: Value; readonly sum: Value; readonly result: Value } | undefined;
  for (let step = 0; step < parts; step++) {
    if (step > 0) [k, v] = [g.named("ring_keys", g.shift(k, 1, 1, true)), g.named("ring_values", g.shift(v, 1, 1, true))];
    const scores = g.named(
      "scores",
      g.dotGeneral(
        queries,
        k,
        [
          [0, 0],
          [1, 1],
          [3, 3],
        ],
        [[5, 4]],
      ),
    ); // [B, n, K, c, G, c]
    const dims = scores.type.dims;
    const rows = [0, 1, 2, 3, 4];
    const masked = g.add(softCap(g, scores, cap), g.broadcastInDim(ensure(biases[step], "bias"), dims, [1, 3, 5]));
    const own = g.stopGradient(g.reduce(masked, [5], "max")); // [B, n, K, c, G]
    const max = state === undefined ? own : g.maximum(state.max, own);
    const e = g.named("exp_scores", g.exponential(g.subtract(masked, g.broadcastInDim(max, dims, rows))));
    const sum = g.reduce(e, [5], "sum");
    const weighted = g.dotGeneral(
      e,
      v,
      [
        [0, 0],
        [1, 1],
        [2, 3],
      ],
      [[5, 2]],
    ); // [B, n, K, c, G, E]
    if (state === undefined) state = { max, sum, result: weighted };
    else {
      const kept = g.exponential(g.subtract(state.max, max));
      state = {
        max,
        sum: g.add(g.multiply(state.sum, kept), sum),
        result: g.add(g.multiply(state.result, g.broadcastInDim(kept, weighted.type.dims, rows)), weighted),
      };
    }
  }
  const { sum, result } = ensure(state, "a row has a part");
  const inverse = g.divide(g.splat(1, sum.type), sum);
  return g.named("heads", g.multiply(result, g.broadcastInDim(inverse, result.type.dims, [0, 1, 2, 3, 4])));
}
