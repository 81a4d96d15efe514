import type { GraphBuilder, Value } from "@lapidary/ir";
import type { Dispatch, ExpertLoad, Routing } from "../model.js";
import { dispatchByCapacity } from "./capacity.js";
import { dispatchDropless } from "./dropless.js";
import type { ExpertStacks } from "./expert-stacks.js";
import { gated } from "./gated-mlp.js";
import type { Projection } from "./projection.js";

// B batch · T positions · D model dim · E experts · F width of an expert · R rank of an adapter

interface ExpertOptions {
  readonly dispatch: Dispatch;
  /** Whether the weights of a token are divided by their sum. */
  readonly normalize: boolean;
}

/**
 * The weighted sum of the chosen experts.
 *
 * @param x [B, T, D], normalised
 * @returns [B, T, D], and the load of each expert
 */
export function applyExperts(
  g: GraphBuilder,
  x: Value,
  routing: Routing,
  stacks: ExpertStacks,
  { dispatch, normalize }: ExpertOptions,
): { readonly output: Value; readonly load: ExpertLoad } {
  const weights = weightsOf(g, routing, normalize);
  if (dispatch.kind === "capacity") return dispatchByCapacity(g, x, { routing, weights, stacks, capacityFactor: dispatch.capacityFactor });
  if (dispatch.kind === "dropless") return dispatchDropless(g, x, { routing, weights, stacks, dispatch });
  const assigned = g.named("assigned", g.reduce(routing.chosen, [0, 1], "sum"));
  return { output: mixAll(g, x, weights, stacks), load: { assigned } };
}

/** The weight of each expert for each token [B, T, E], 0 for those that the token did not choose. */
function weightsOf(g: GraphBuilder, { probabilities, chosen }: Routing, normalize: boolean): Value {
  const selected = g.multiply(probabilities, chosen);
  return normalize ? g.divide(selected, g.broadcastInDim(g.reduce(selected, [2], "sum"), selected.type.dims, [0, 1])) : selected;
}

/**
 * Every expert computes every token, and tokens that did not choose it have the weight 0. So no token is dropped, but the experts
 * compute E / k times what a dispatch would. The weights multiply the hidden values, so that one matmul adds over the experts too.
 */
function mixAll(g: GraphBuilder, x: Value, weights: Value, { gate, up, down }: ExpertStacks): Value {
  const wide = (name: string, { weight, adapter }: Projection): Value => {
    const base = g.named(name, g.dotGeneral(x, weight, [], [[2, 2]]), ["batch", "seq", "experts", "mlp"]); // [B, T, E, F]
    if (adapter === undefined) return base;
    const low = g.dotGeneral(x, adapter.a, [], [[2, 2]]); // [B, T, E, R]
    const change = g.dotGeneral(low, adapter.b, [[2, 0]], [[3, 2]]); // [E, B, T, F]
    return g.named(`${name}_lora`, g.add(base, g.scale(g.transpose(change, [1, 2, 0, 3]), adapter.scale)));
  };
  const hidden = gated(g, (name) => wide(name, { gate, up }[name]), "silu");
  const weighted = g.named("weighted", g.multiply(hidden, g.broadcastInDim(weights, hidden.type.dims, [0, 1, 2])));
  const mixed = g.named(
    "mixed",
    g.dotGeneral(
      weighted,
      down.weight,
      [],
      [
        [2, 0],
        [3, 2],
      ],
    ),
  );
  if (down.adapter === undefined) return mixed;
  const low = g.dotGeneral(weighted, down.adapter.a, [[2, 0]], [[3, 2]]); // [E, B, T, R]
  const change = g.dotGeneral(
    low,
    down.adapter.b,
    [],
    [
      [0, 0],
      [3, 2],
    ],
  );
  return g.named("mixed_lora", g.add(mixed, g.scale(change, down.adapter.scale)));
}
