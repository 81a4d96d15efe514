import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import type { DroplessDispatch, ExpertLoad, Routing } from "../model.js";
import { changeSharding } from "./change-sharding.js";
import type { ExpertStacks } from "./expert-stacks.js";
import { gated } from "./gated-mlp.js";
import type { Projection } from "./projection.js";
import { mixChoices, slotsOfChoices, tokensOfSlots, weightsOfChoices } from "./slots.js";

// B rows · T positions · D model dim · E experts · P parts of the experts · G experts of a part · k choices of a token · N slots of a part · F width

/** The slots of a part of the experts in a row of `tokens` tokens: enough for any choices, because a token chooses an expert once. */
export const droplessSlots = (
  tokens: number,
  { count, perToken }: { readonly count: number; readonly perToken: number },
  parts: number,
): number => tokens * Math.min(perToken, count / parts);

interface DroplessInputs {
  readonly routing: Routing;
  /** [B, T, E] */
  readonly weights: Value;
  readonly stacks: ExpertStacks;
  readonly dispatch: DroplessDispatch;
}

/**
 * Each expert computes all tokens that chose it. The tokens of a row are sorted by expert, and `ragged_dot` multiplies the rows of each
 * expert by its weights (MegaBlocks, Gale et al. 2022).
 *
 *     x [B, T, D] ─ all_gather ─► gather [B, P, N, D] ─► experts of each part ─► gather, Σ over choices ─ reduce_scatter ─► [B, T, D]
 *                    rows           sorted by expert       experts split          partial sums            rows split
 *
 * Shapes are fixed when the program is compiled. So a part has slots for any choices of its rows, and the empty slots are not computed.
 * With one part, no slot is empty.
 */
export function dispatchDropless(
  g: GraphBuilder,
  x: Value,
  { routing, weights, stacks, dispatch: { parts: P, imbalance } }: DroplessInputs,
): { readonly output: Value; readonly load: ExpertLoad } {
  const { chosen, choices } = routing;
  const [B = 0, T = 0, E = 0] = chosen.type.dims;
  const D = x.type.dims[2] ?? 0;
  const G = E / P;
  const N = droplessSlots(T, { count: E, perToken: choices.length }, P);
  const loads = g.reduce(chosen, [1], "sum"); // [B, E]
  const sizes = g.named("group_sizes", g.convert(g.reshape(loads, [B, P, G]), "i32"));
  const slots = slotsOfChoices(g, sortedSlots(g, chosen, loads, [P, G, N]), choices);

  const tokens = g.reshape(tokensOfSlots(g, slots, P * N), [B, P, N]);
  const toAll = (name: string, value: Value): Value =>
    changeSharding(g, name, value, [...ofRows, null, null], [...ofExpertRows, null, null]);
  const toExperts = (name: string, value: Value): Value =>
    changeSharding(g, name, value, [...ofRows, null, null], [...ofExpertRows, "experts", null]);
  const rows = g.named("dispatched", g.gather(toAll("to_experts", x), toExperts("expert_tokens", tokens), 1), ofSlots(null));
  const share = Math.min(1, (imbalance * T * choices.length) / (P * N));
  const computed = computeExperts(g, rows, toExperts("expert_sizes", sizes), stacks, share);

  const ofChoices = toAll("choice_weights", weightsOfChoices(g, weights, choices));
  const mixed = mixChoices(g, g.reshape(computed, [B, P * N, D]), toAll("choice_slots", slots), ofChoices);
  const output = changeSharding(g, "to_rows", mixed, [...ofExpertRows, null, null], [...ofRows, null, null]);
  return { output: g.named("mixed", output), load: { assigned: g.named("assigned", g.reduce(loads, [0], "sum")) } };
}

/** By token and expert, the slot of the token if it chose the expert [B, T, E]: tokens by part of the experts, then by expert, then by position. */
function sortedSlots(g: GraphBuilder, chosen: Value, loads: Value, [P, G, N]: readonly [number, number, number]): Value {
  const { dims } = chosen.type;
  const [B = 0, , E = 0] = dims;
  const byPart = g.reshape(loads, [B, P, G]);
  const before = g.reshape(g.subtract(g.cumsum(byPart, 2), byPart), [B, E]);
  const firstOfPart = g.reshape(g.scale(g.iota(tensorType("f32", [B, P, G]), 1), N), [B, E]);
  const first = g.broadcastInDim(g.add(before, firstOfPart), dims, [0, 2]);
  return g.add(first, g.offset(g.cumsum(chosen, 1), -1));
}

/** The shardings of rows: over the axes of the batch, or over those of them that do not split experts. */
const ofRows = ["batch"] as const;
const ofExpertRows = ["expert_batch"] as const;
const ofSlots = (axis: string | null): readonly (string | null)[] => [...ofExpertRows, "experts", null, axis];

/** [B, P, N, D] → [B, P, N, D]: each row by its expert. */
function computeExperts(g: GraphBuilder, rows: Value, sizes: Value, { gate, up, down }: ExpertStacks, filled: number): Value {
  const parts = rows.type.dims[1] ?? 1;
  const multiply = (x: Value, w: Value): Value => {
    const [count = 0, ...matrix] = w.type.dims;
    return g.raggedDot(x, g.reshape(w, [parts, count / parts, ...matrix]), sizes, { shared: [1], filled });
  };
  const project = (name: string, x: Value, { weight, adapter }: Projection, axis: string | null): Value => {
    const base = g.named(name, multiply(x, weight), ofSlots(axis));
    if (adapter === undefined) return base;
    const change = multiply(multiply(x, adapter.a), adapter.b);
    return g.named(`${name}_lora`, g.add(base, g.scale(change, adapter.scale)));
  };
  const wide = { gate, up };
  return project(
    "out",
    gated(g, (name) => project(name, rows, wide[name], "mlp"), "silu"),
    down,
    null,
  );
}
