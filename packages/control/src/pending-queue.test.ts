import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { isBefore, type PendingItem, PendingQueue } from "./pending-queue.js";

interface Sized extends PendingItem {
  readonly chips: number;
}
const sized = (id: string, sequence: number, chips: number, priority = 0): Sized => ({ id, sequence, chips, priority });

/** Starts every item that fits on `chips`; returns the ids of the started items in order. */
function start(queue: PendingQueue<Sized>, chips: number): string[] {
  const started: string[] = [];
  queue.startFitting((item) => {
    if (item.chips > chips) return false;
    chips -= item.chips;
    started.push(item.id);
    return true;
  });
  return started;
}

describe("pending queue", () => {
  it("items start by priority, then by submission", () => {
    const queue = new PendingQueue<Sized>();
    for (const item of [sized("a", 1, 1), sized("b", 2, 1, 5), sized("c", 3, 1), sized("d", 4, 1, 5), sized("e", 5, 1, -1)])
      queue.add(item);
    deepStrictEqual(start(queue, 100), ["b", "d", "a", "c", "e"]);
    deepStrictEqual(queue.items, []);
  });

  it("a smaller job starts before a job that does not fit", () => {
    const queue = new PendingQueue<Sized>();
    for (const item of [sized("half", 1, 4), sized("whole", 2, 8), sized("quarter", 3, 2)]) queue.add(item);
    deepStrictEqual(start(queue, 8), ["half", "quarter"]);
    deepStrictEqual(
      queue.items.map(({ id }) => id),
      ["whole"],
    );
  });

  it("after a large job was passed over `maxPassedOver` times, no later job starts", () => {
    const queue = new PendingQueue<Sized>(3);
    queue.add(sized("whole", 0, 8));
    for (let i = 1; i <= 5; i++) queue.add(sized(`small${i}`, i, 1));
    deepStrictEqual(start(queue, 7), ["small1", "small2", "small3", "small4", "small5"]);
    queue.add(sized("late", 9, 1));
    deepStrictEqual(start(queue, 7), []);
    deepStrictEqual(start(queue, 8), ["whole"]);
    deepStrictEqual(start(queue, 1), ["late"]);
  });

  it("a removed item does not start, and remove returns whether the item was there", () => {
    const queue = new PendingQueue<Sized>();
    queue.add(sized("a", 1, 1));
    strictEqual(queue.remove("a"), true);
    strictEqual(queue.remove("a"), false);
    deepStrictEqual(start(queue, 8), []);
  });

  it("for any items, those that fit start in queue order", () => {
    const items = fc.uniqueArray(
      fc.record({ id: fc.string(), priority: fc.integer({ min: -3, max: 3 }), chips: fc.integer({ min: 1, max: 16 }), sequence: fc.nat() }),
      { selector: ({ id }) => id, maxLength: 30 },
    );
    fc.assert(
      fc.property(items, fc.integer({ min: 0, max: 40 }), (all, chips) => {
        const queue = new PendingQueue<Sized>(Number.MAX_SAFE_INTEGER);
        for (const item of all) queue.add(item);
        for (const [i, item] of queue.items.entries()) for (const later of queue.items.slice(i + 1)) ok(!isBefore(later, item));
        const order = queue.items;
        const started = start(queue, chips);
        const byId = new Map(all.map((item) => [item.id, item]));
        const used = started.reduce((sum, id) => sum + (byId.get(id)?.chips ?? 0), 0);
        ok(used <= chips);
        deepStrictEqual(
          started,
          order.map(({ id }) => id).filter((id) => started.includes(id)),
        );
        for (const waiting of queue.items) ok(waiting.chips > chips - used);
        strictEqual(started.length + queue.items.length, all.length);
      }),
    );
  });
});
