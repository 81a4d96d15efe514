import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { goesBefore, type Waiting, WaitingLine } from "./waiting-line.js";

interface Sized extends Waiting {
  readonly chips: number;
}
const sized = (id: string, sequence: number, chips: number, priority = 0): Sized => ({ id, sequence, chips, priority });

/** Starts all that fits on `chips`; returns what started, in order. */
function start(line: WaitingLine<Sized>, chips: number): string[] {
  const started: string[] = [];
  line.offer((item) => {
    if (item.chips > chips) return false;
    chips -= item.chips;
    started.push(item.id);
    return true;
  });
  return started;
}

describe("waiting line", () => {
  it("goes by priority, then by submission", () => {
    const line = new WaitingLine<Sized>();
    for (const item of [sized("a", 1, 1), sized("b", 2, 1, 5), sized("c", 3, 1), sized("d", 4, 1, 5), sized("e", 5, 1, -1)]) line.add(item);
    deepStrictEqual(start(line, 100), ["b", "d", "a", "c", "e"]);
    deepStrictEqual(line.items, []);
  });

  it("lets a smaller job start ahead of one that does not fit", () => {
    const line = new WaitingLine<Sized>();
    for (const item of [sized("half", 1, 4), sized("whole", 2, 8), sized("quarter", 3, 2)]) line.add(item);
    deepStrictEqual(start(line, 8), ["half", "quarter"]);
    deepStrictEqual(
      line.items.map(({ id }) => id),
      ["whole"],
    );
  });

  it("does not starve a large job: after so many overtakes nothing behind it starts", () => {
    const line = new WaitingLine<Sized>(3);
    line.add(sized("whole", 0, 8));
    for (let i = 1; i <= 5; i++) line.add(sized(`small${i}`, i, 1));
    deepStrictEqual(start(line, 7), ["small1", "small2", "small3", "small4", "small5"]);
    line.add(sized("late", 9, 1));
    deepStrictEqual(start(line, 7), []);
    deepStrictEqual(start(line, 8), ["whole"]);
    deepStrictEqual(start(line, 1), ["late"]);
  });

  it("forgets a removed one, and tells whether it was there", () => {
    const line = new WaitingLine<Sized>();
    line.add(sized("a", 1, 1));
    strictEqual(line.remove("a"), true);
    strictEqual(line.remove("a"), false);
    deepStrictEqual(start(line, 8), []);
  });

  it("starts what fits, in order, whatever comes", () => {
    const items = fc.uniqueArray(
      fc.record({ id: fc.string(), priority: fc.integer({ min: -3, max: 3 }), chips: fc.integer({ min: 1, max: 16 }), sequence: fc.nat() }),
      { selector: ({ id }) => id, maxLength: 30 },
    );
    fc.assert(
      fc.property(items, fc.integer({ min: 0, max: 40 }), (all, chips) => {
        const line = new WaitingLine<Sized>(Number.MAX_SAFE_INTEGER);
        for (const item of all) line.add(item);
        for (const [i, item] of line.items.entries()) for (const later of line.items.slice(i + 1)) ok(!goesBefore(later, item));
        const order = line.items;
        const started = start(line, chips);
        const byId = new Map(all.map((item) => [item.id, item]));
        const used = started.reduce((sum, id) => sum + (byId.get(id)?.chips ?? 0), 0);
        ok(used <= chips);
        deepStrictEqual(
          started,
          order.map(({ id }) => id).filter((id) => started.includes(id)),
        );
        for (const waiting of line.items) ok(waiting.chips > chips - used);
        strictEqual(started.length + line.items.length, all.length);
      }),
    );
  });
});
