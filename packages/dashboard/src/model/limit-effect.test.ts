import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { LimitCard } from "@lapidary/api/data-view";
import fc from "fast-check";
import { binsOf, isKept, limitEffect, placeOf, placesOf, valueAt } from "./limit-effect.js";

/** The card of a limit over the values of documents that no other rule drops. */
function cardOf(values: readonly number[], now: number, drops: "below" | "above", dropsEqual: boolean): LimitCard {
  const bins: Record<string, number> = {};
  for (const value of values) {
    let place = Math.floor(placeOf(value)) + 1;
    while (valueAt(place) > value) place--;
    bins[String(valueAt(place))] = (bins[String(valueAt(place))] ?? 0) + 1;
  }
  const kept = values.filter((value) => isKept({ drops, dropsEqual }, value, now)).length;
  return {
    stage: 0,
    limit: "m",
    rule: "m",
    reason: "m",
    column: "m",
    value: now,
    drops,
    dropsEqual,
    change: "m_min = {}",
    histogram: bins,
    decided: { values: bins, kept },
  };
}

const value = fc.oneof(
  fc.integer({ min: 0, max: 60 }),
  fc.double({ min: 0, max: 2, noNaN: true }),
  fc.integer({ min: 0, max: 100 }).map((n) => n / 100),
);

describe("the effect of a moved limit", () => {
  it("the bounds contain the number that stays, and are equal at an edge of the bins that drops the values below it", () => {
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 20 }),
        value,
        value,
        fc.constantFrom("below" as const, "above" as const),
        fc.boolean(),
        fc.nat({ max: 9 }),
        (values, now, moved, drops, dropsEqual, always) => {
          const card = cardOf(values, now, drops, dropsEqual);
          const stays = (limit: number): number => values.filter((each) => isKept(card, each, limit)).length;
          const { least, most } = limitEffect(card, moved, always + stays(now));
          const truth = always + stays(moved);
          ok(least <= truth && truth <= most, `${least} ≤ ${truth} ≤ ${most}`);
          const edge = valueAt(Math.round(placeOf(moved)));
          // Values below an edge and values from it on are apart.
          if ((drops === "below") !== dropsEqual) {
            const atEdge = limitEffect(card, edge, always + stays(now));
            deepStrictEqual([atEdge.least, atEdge.most], [always + stays(edge), always + stays(edge)]);
          }
        },
      ),
    );
  });

  it("places and values of bins are inverse to each other", () => {
    for (const at of [-60, -3, 0, 1, 49, 50, 51, 66, 98, 130]) strictEqual(Math.round(placeOf(valueAt(at))), at);
  });

  it("bins are in order with both of their edges, and the range contains the limit", () => {
    deepStrictEqual(binsOf({ "-0.02": 3, "0.5": 1, "10": 2, none: 7 }), [
      { from: -0.04, to: -0.02, count: 3 },
      { from: 0.5, to: 0.52, count: 1 },
      { from: 10, to: 11.55, count: 2 },
    ]);
    const { from, to } = placesOf([{ "10": 2 }], 1000);
    ok(valueAt(from) === 10 && valueAt(to) === 1000);
  });
});
