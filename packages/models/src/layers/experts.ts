import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { Routing } from "../model.js";
import { gatedMlp } from "./gated-mlp.js";
import { type Projection, project } from "./projection.js";

// B batch · T positions · D model dim · E experts · F width of an expert

/** The k most probable experts of each token; of equal ones the first. Softmax is computed in f32. */
export function route(g: GraphBuilder, logits: Value, perToken: number): Routing {
  const dims = logits.type.dims;
  const last = dims.length - 1;
  const rows = dims.map((_, d) => d).slice(0, last);
  const spread = (x: Value): Value => g.broadcastInDim(x, dims, rows);
  const max = g.stopGradient(g.reduce(logits, [last], "max"));
  const e = g.exponential(g.subtract(logits, spread(max)));
  const probabilities = g.named("router_probabilities", g.divide(e, spread(g.reduce(e, [last], "sum"))));

  const type = tensorType("f32", dims);
  const [zero, one] = [g.splat(0, type), g.splat(1, type)];
  const count = dims[last] ?? 0;
  // The maximum of reversed indices is the first index.
  const reversed = g.offset(g.negate(g.iota(type, last)), count - 1);
  let left = g.stopGradient(probabilities);
  let chosen = zero;
  for (let round = 0; round < perToken; round++) {
    const isMax = g.compare(left, spread(g.reduce(left, [last], "max")), "EQ");
    const first = g.reduce(g.select(isMax, reversed, g.splat(-1, type)), [last], "max");
    const isChosen = g.compare(reversed, spread(first), "EQ");
    chosen = g.select(isChosen, one, chosen);
    left = g.select(isChosen, g.splat(-1, type), left);
  }
  return { probabilities, chosen: g.named("chosen_experts", g.stopGradient(chosen)) };
}

/** The projections of one expert. */
export interface Expert {
  /** [F, D] */
  readonly gate: Projection;
  /** [F, D] */
  readonly up: Projection;
  /** [D, F] */
  readonly down: Projection;
}

/**
 * The weighted sum of the chosen experts. Every expert computes every token, and tokens that did not choose it have the weight 0. So no token
 * is dropped and nothing depends on the mesh, but the experts compute E / k times what a dispatch would.
 *
 * @param x [B, T, D], normalised
 * @param normalize whether the weights of a token are divided by their sum
 */
export function mixExperts(g: GraphBuilder, x: Value, routing: Routing, experts: readonly Expert[], normalize: boolean): Value {
  const { probabilities, chosen } = routing;
  const dims = probabilities.type.dims;
  const [B = 0, T = 0] = dims;
  const selected = g.multiply(probabilities, chosen);
  const weights = normalize ? g.divide(selected, g.broadcastInDim(g.reduce(selected, [2], "sum"), dims, [0, 1])) : selected;
  const outputs = experts.map(({ gate, up, down }, e) =>
    g.scope(`experts.${e}`, () => {
      const wide = { gate, up };
      const out = gatedMlp(g, (name) => project(g, name, x, wide[name], ["batch", "seq", "mlp"]), down, "silu");
      const weight = g.reshape(g.slice(weights, [0, 0, e], [B, T, e + 1]), [B, T]);
      return g.multiply(out, g.broadcastInDim(weight, out.type.dims, [0, 1]));
    }),
  );
  return g.named(
    "mixed",
    outputs.reduce((a, b) => g.add(a, b)),
  );
}

/**
 * The auxiliary loss that balances the experts (Fedus et al. 2021): E · Σₑ fₑ · Pₑ, with the share fₑ of assignments to e and the mean
 * probability Pₑ of e. Both are means over all tokens and all layers together, because a mean of products is another number.
 */
export function balanceLoss(g: GraphBuilder, routings: readonly Routing[]): Value {
  const sum = (values: readonly Value[]): Value => values.map((x) => g.reduce(x, [0, 1], "sum")).reduce((a, b) => g.add(a, b));
  const [B = 0, T = 0, E = 0] = ensure(routings[0], "routing").probabilities.type.dims;
  const tokens = B * T * routings.length;
  const shares = sum(routings.map(({ chosen }) => chosen));
  const means = sum(routings.map(({ probabilities }) => probabilities));
  return g.named("balance_loss", g.scale(g.reduce(g.multiply(shares, means), [0], "sum"), E / tokens / tokens));
}
