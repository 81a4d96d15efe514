import { assert } from "@lapidary/std";

/** What the order of the line depends on. */
export interface Waiting {
  readonly id: string;
  /** Higher goes first. */
  readonly priority: number;
  /** Grows with each submission: first come, first served within a priority. */
  readonly sequence: number;
}

/** How often an item may be overtaken by later ones before nothing behind it may start. */
export const defaultMaxOvertakes = 16;

/**
 * Jobs that wait for chips.
 *
 *   Order: priority, then submission. The first goes first; an item that does not fit now is skipped, and a later one that
 *   does fit may start ahead of it (backfill), so that chips do not stand idle. An item that was overtaken `maxOvertakes`
 *   times closes the line behind it until it starts, so that a job wanting the whole pod is not starved by small ones.
 */
export class WaitingLine<T extends Waiting> {
  readonly #maxOvertakes: number;
  readonly #items: { readonly item: T; overtaken: number }[] = [];

  constructor(maxOvertakes = defaultMaxOvertakes) {
    this.#maxOvertakes = maxOvertakes;
  }

  /** In the order in which they are considered. */
  get items(): readonly T[] {
    return this.#items.map(({ item }) => item);
  }

  add(item: T): void {
    assert(!this.#items.some((other) => other.item.id === item.id), "an item waits once", item.id);
    const at = this.#items.findIndex((other) => goesBefore(item, other.item));
    this.#items.splice(at < 0 ? this.#items.length : at, 0, { item, overtaken: 0 });
  }

  /** Whether it was there. */
  remove(id: string): boolean {
    const at = this.#items.findIndex(({ item }) => item.id === id);
    if (at >= 0) this.#items.splice(at, 1);
    return at >= 0;
  }

  /** Offers the items in order to `take`, and removes those that it takes. */
  offer(take: (item: T) => boolean): void {
    const skipped: { overtaken: number }[] = [];
    // `take` may add and remove items: it sees the line as it is, we go on over the line as it was.
    for (const entry of [...this.#items]) {
      if (!this.#items.includes(entry)) continue;
      if (take(entry.item)) {
        this.remove(entry.item.id);
        for (const one of skipped) one.overtaken++;
      } else {
        if (entry.overtaken >= this.#maxOvertakes) return;
        skipped.push(entry);
      }
    }
  }
}

/** The order of the line. */
export function goesBefore(a: Waiting, b: Waiting): boolean {
  return a.priority > b.priority || (a.priority === b.priority && a.sequence < b.sequence);
}
