import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import type { ExpertLoad, Routing } from "../model.js";
import type { ExpertStacks } from "./expert-stacks.js";
import { changeSharding } from "./change-sharding.js";
import { gated } from "./gated-mlp.js";
import type { Projection } from "./projection.js";
import { mixChoices, slotsOfChoices, tokensOfSlots, weightsOfChoices } from "./slots.js";

// B rows · T positions · D model dim · E experts · k choices of a token · C slots of an expert · F width of an expert · R rank of an adapter

/** Slots of an expert in a row of `tokens` tokens: `capacityFactor` times the even share, at most one for each token. */
export const capacityOf = (
  tokens: number,
  { count, perToken }: { readonly count: number; readonly perToken: number },
  factor: number,
): number => Math.min(tokens, Math.ceil((factor * perToken * tokens) / count));

interface DispatchInputs {
  readonly routing: Routing;
  /** [B, T, E] */
  readonly weights: Value;
  readonly stacks: ExpertStacks;
  readonly capacityFactor: number;
}

/**
 * Each expert computes the first C tokens of each row that chose it. For the others it adds nothing (GShard, Lepikhin et al. 2020).
 *
 *     x [B, T, D] ─ gather ─► [B, E, C, D] ─ all_to_all ─► experts ─ all_to_all ─► [B, E, C, D] ─ gather ─► Σ over choices [B, T, D]
 *                  tokens of slots           experts split            rows split                 slots of tokens
 *
 * Tokens move by index, not by one-hot matmuls, which would cost as much as the experts. A row is a group: slots depend on the tokens of
 * the row alone, so that no sharding of rows changes which tokens are dropped.
 */
export function dispatchByCapacity(
  g: GraphBuilder,
  x: Value,
  { routing, weights, stacks, capacityFactor }: DispatchInputs,
): { readonly output: Value; readonly load: ExpertLoad } {
  const { chosen, choices } = routing;
  const [B = 0, T = 0, E = 0] = chosen.type.dims;
  const D = x.type.dims[2] ?? 0;
  const C = capacityOf(T, { count: E, perToken: choices.length }, capacityFactor);
  const { slots, load } = assignSlots(g, routing, C);

  const buffer = g.reshape(g.gather(x, tokensOfSlots(g, slots, E * C), 1), [B, E, C, D]);
  const computed = computeExperts(g, changeSharding(g, "to_experts", g.named("dispatched", buffer), ofRows, ofExperts), stacks);
  const rows = g.reshape(changeSharding(g, "to_rows", g.named("expert_outputs", computed), ofExperts, ofRows), [B, E * C, D]);
  return { output: g.named("mixed", mixChoices(g, rows, slots, weightsOfChoices(g, weights, choices))), load };
}

/** The slot e·C + c of each choice of each token, i32 [B, T, k]; -1 for a choice that is dropped. */
function assignSlots(g: GraphBuilder, { chosen, choices }: Routing, C: number): { readonly slots: Value; readonly load: ExpertLoad } {
  const { dims } = chosen.type;
  const type = tensorType("f32", dims);
  const order = g.offset(g.cumsum(chosen, 1), -1);
  const isFull = g.compare(order, g.splat(C, type), "GE");
  const none = g.splat(-1, type);
  const slotOf = g.select(isFull, none, g.add(g.scale(g.iota(type, 2), C), order));
  const dropped = g.select(isFull, chosen, g.splat(0, type));
  return {
    slots: slotsOfChoices(g, slotOf, choices),
    load: {
      assigned: g.named("assigned", g.reduce(chosen, [0, 1], "sum")),
      dropped: g.named("dropped", g.reduce(dropped, [0, 1], "sum")),
    },
  };
}

/** The shardings of [B, E, C, D]: rows over the axes of the batch, or experts over their axes and rows over the others. */
const ofRows = ["batch", null, null, null] as const;
const ofExperts = ["expert_batch", "experts", null, null] as const;
/** [B, E, C, D] → [B, E, C, D]: each expert on its own slots. */
function computeExperts(g: GraphBuilder, buffer: Value, { gate, up, down }: ExpertStacks): Value {
  const wide = { gate, up };
  const hidden = gated(g, (name) => ofEach(g, name, buffer, [1, 3], wide[name]), "silu"); // [E, B, C, F]
  return g.transpose(ofEach(g, "out", hidden, [0, 3], down), [1, 0, 2, 3]);
}

/** x·Wᵀ of each expert, with its adapter: [E, B, C, out] for W [E, out, in]. `at` has the dims of E and of `in` in x. */
function ofEach(g: GraphBuilder, name: string, x: Value, [e, inner]: readonly [number, number], { weight, adapter }: Projection): Value {
  const base = g.named(name, g.dotGeneral(x, weight, [[e, 0]], [[inner, 2]]), ["experts", null, null, name === "out" ? null : "mlp"]);
  if (adapter === undefined) return base;
  const low = g.dotGeneral(x, adapter.a, [[e, 0]], [[inner, 2]]); // [E, B, C, R]
  const change = g.dotGeneral(low, adapter.b, [[0, 0]], [[3, 2]]);
  return g.named(`${name}_lora`, g.add(base, g.scale(change, adapter.scale)));
}
