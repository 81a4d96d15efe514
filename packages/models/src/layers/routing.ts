import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { Routing } from "../model.js";

// B batch · T positions · E experts

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
  const choices: Value[] = [];
  for (let round = 0; round < perToken; round++) {
    const isMax = g.compare(left, spread(g.reduce(left, [last], "max")), "EQ");
    const first = g.reduce(g.select(isMax, reversed, g.splat(-1, type)), [last], "max");
    const isChosen = g.compare(reversed, spread(first), "EQ");
    choices.push(g.named(`choice.${round}`, g.stopGradient(g.select(isChosen, one, zero))));
    left = g.select(isChosen, g.splat(-1, type), left);
  }
  const chosen = g.named(
    "chosen_experts",
    choices.reduce((a, b) => g.add(a, b)),
  );
  return { probabilities, chosen, choices };
}

/**
 * The auxiliary loss that balances the experts (Fedus et al. 2021): E · Σₑ fₑ · Pₑ, with the share fₑ of assignments to e and the mean
 * probability Pₑ of e. Both are means over all tokens and all layers together, because a mean of products is another number.
 */
export function balanceLoss(g: GraphBuilder, routings: readonly Pick<Routing, "probabilities" | "chosen">[]): Value {
  const sum = (values: readonly Value[]): Value => values.map((x) => g.reduce(x, [0, 1], "sum")).reduce((a, b) => g.add(a, b));
  const [B = 0, T = 0, E = 0] = ensure(routings[0], "routing").probabilities.type.dims;
  const tokens = B * T * routings.length;
  const shares = sum(routings.map(({ chosen }) => chosen));
  const means = sum(routings.map(({ probabilities }) => probabilities));
  return g.named("balance_loss", g.scale(g.reduce(g.multiply(shares, means), [0], "sum"), E / tokens / tokens));
}
