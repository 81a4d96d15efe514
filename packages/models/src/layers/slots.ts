import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import type { Routing } from "../model.js";

// B rows · T positions · D model dim · E experts · k choices of a token · S slots of a row

/**
 * The slot of each choice of each token, i32 [B, T, k].
 *
 * @param slotOf [B, T, E]: the slot of each token in the rows of each expert that it chose; -1 for none
 */
export function slotsOfChoices(g: GraphBuilder, slotOf: Value, choices: Routing["choices"]): Value {
  const [B = 0, T = 0] = slotOf.type.dims;
  const slots = choices.map((choice) => g.reshape(g.reduce(g.multiply(slotOf, choice), [2], "sum"), [B, T, 1]));
  return g.named("slots", g.convert(g.concatenate(slots, 2), "i32"));
}

/** The position of the token in each slot, i32 [B, S]; -1 for an empty slot, whose row of a gather is zero. */
export function tokensOfSlots(g: GraphBuilder, slots: Value, count: number): Value {
  const [B = 0, T = 0, k = 0] = slots.type.dims;
  const positions = g.offset(g.iota(tensorType("f32", [B, T, k]), 1), 1);
  const inSlots = g.scatter(g.reshape(slots, [B, T * k]), g.reshape(positions, [B, T * k]), count, 1);
  return g.named("tokens_of_slots", g.convert(g.offset(inSlots, -1), "i32"));
}

/** The weight of each choice of a token [B, T, k], from the weight of each expert [B, T, E]. */
export function weightsOfChoices(g: GraphBuilder, weights: Value, choices: Routing["choices"]): Value {
  const [B = 0, T = 0] = weights.type.dims;
  const each = choices.map((choice) => g.reshape(g.reduce(g.multiply(weights, choice), [2], "sum"), [B, T, 1]));
  return g.concatenate(each, 2);
}

/**
 * The weighted sum over the choices of a token.
 *
 * @param rows [B, S, D]: what the experts computed, by slot
 * @param slots [B, T, k]
 * @param weights [B, T, k]
 * @returns [B, T, D]
 */
export function mixChoices(g: GraphBuilder, rows: Value, slots: Value, weights: Value): Value {
  const [B = 0, T = 0, k = 0] = slots.type.dims;
  const found = g.reshape(g.gather(rows, g.reshape(slots, [B, T * k]), 1), [B, T, k, rows.type.dims[2] ?? 0]);
  return g.dotGeneral(
    weights,
    found,
    [
      [0, 0],
      [1, 1],
    ],
    [[2, 2]],
  );
}
