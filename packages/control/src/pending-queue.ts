import { assert } from "@lapidary/std";

/** The fields that decide the order of the queue. */
export interface PendingItem {
  readonly id: string;
  /** Higher comes first. */
  readonly priority: number;
  /** Grows with each submission: within a priority, the first submitted comes first. */
  readonly sequence: number;
}

/** How often later items may pass an item over before no later item may start. */
const defaultMaxPassedOver = 16;

/**
 * Jobs that wait for chips.
 *
 *   Order: priority, then submission. An item that does not fit now is skipped, and a later item that fits may start first
 *   (backfill), so that no chip is idle. After an item was passed over `maxPassedOver` times, no later item starts until
 *   it has started. This keeps small jobs from starving a job that needs the whole pod.
 */
export class PendingQueue<T extends PendingItem> {
  readonly #maxPassedOver: number;
  readonly #items: { readonly item: T; passedOver: number }[] = [];

  constructor(maxPassedOver = defaultMaxPassedOver) {
    this.#maxPassedOver = maxPassedOver;
  }

  /** In queue order. */
  get items(): readonly T[] {
    return this.#items.map(({ item }) => item);
  }

  add(item: T): void {
    assert(!this.#items.some((other) => other.item.id === item.id), "an item waits once", item.id);
    const index = this.#items.findIndex((other) => isBefore(item, other.item));
    this.#items.splice(index < 0 ? this.#items.length : index, 0, { item, passedOver: 0 });
  }

  /** Returns whether the item was in the queue. */
  remove(id: string): boolean {
    const index = this.#items.findIndex(({ item }) => item.id === id);
    if (index >= 0) this.#items.splice(index, 1);
    return index >= 0;
  }

  /** Calls `tryStart` for the items in queue order, and removes those for which it returns true. */
  startFitting(tryStart: (item: T) => boolean): void {
    const skipped: { passedOver: number }[] = [];
    // Iterate over a copy, because `tryStart` may add and remove items.
    for (const entry of [...this.#items]) {
      if (!this.#items.includes(entry)) continue;
      if (tryStart(entry.item)) {
        this.remove(entry.item.id);
        for (const other of skipped) other.passedOver++;
      } else {
        if (entry.passedOver >= this.#maxPassedOver) return;
        skipped.push(entry);
      }
    }
  }
}

/** Queue order: whether `a` comes before `b`. */
export function isBefore(a: PendingItem, b: PendingItem): boolean {
  return a.priority > b.priority || (a.priority === b.priority && a.sequence < b.sequence);
}
