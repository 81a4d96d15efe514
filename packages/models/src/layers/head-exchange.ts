import type { GraphBuilder, Value } from "@lapidary/ir";
import { assert } from "@lapidary/std";
import type { KeysAndValues } from "../model.js";
import { changeSharding } from "./change-sharding.js";

// B batch · T positions · K kv heads · G query heads of one kv head · E head dim

/** Queries [B, T, K, G, E], keys and values [B, T, K, E]. */
export interface Heads extends KeysAndValues {
  readonly q: Value;
}

/**
 * Context parallelism by heads (DeepSpeed-Ulysses, Jacobs et al. 2023). Outside, a chip has some positions of all heads. In attention it
 * has all positions of some heads. Two all_to_alls change between them, and no chip gathers keys.
 */
export interface HeadExchange {
  /** Kv heads in attention: a multiple of those of the model, so that the mesh axes divide them. Heads are repeated. */
  readonly kvHeads: number;
}

const ofPositions = ["batch", "seq", "kv_heads", null] as const;
const ofHeads = ["batch", null, "exchanged_heads", null] as const;

export function exchangeHeads(g: GraphBuilder, { q, keys, values }: Heads, { kvHeads }: HeadExchange): Heads {
  const [B = 0, T = 0, K = 0, G = 0, E = 0] = q.type.dims;
  const repeats = kvHeads / K;
  assert(Number.isInteger(repeats) && G % repeats === 0, "repeated kv heads divide the query heads", K, G, kvHeads);
  const repeated = (x: Value): Value =>
    repeats === 1 ? x : g.reshape(g.broadcastInDim(x, [B, T, K, repeats, E], [0, 1, 2, 4]), [B, T, kvHeads, E]);
  return {
    q: changeSharding(g, "q_exchanged", g.reshape(q, [B, T, kvHeads, G / repeats, E]), [...ofPositions, null], [...ofHeads, null]),
    keys: changeSharding(g, "k_exchanged", repeated(keys), ofPositions, ofHeads),
    values: changeSharding(g, "v_exchanged", repeated(values), ofPositions, ofHeads),
  };
}

/** @param heads [B, T, K, G, E] */
export const returnHeads = (g: GraphBuilder, heads: Value): Value =>
  changeSharding(g, "heads_returned", heads, [...ofHeads, null], [...ofPositions, null]);
