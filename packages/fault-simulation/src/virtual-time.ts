import type { Timer } from "@lapidary/fabric";
import { type Clock, type Random, ensure } from "@lapidary/std";

/** An event, and its time. */
interface Event {
  readonly at: number;
  readonly order: number;
  /** Undefined: it was cancelled. */
  happen: (() => void) | undefined;
}

/**
 * A virtual clock that advances when no other work is left. Everything that waits for it is an event, and the seed alone decides the order of
 * events.
 */
export class VirtualTime implements Clock, Timer {
  #now = 0;
  #order = 0;
  #happened = 0;
  /** A heap: the earliest event is first. */
  readonly #events: Event[] = [];

  constructor(readonly random: Random) {}

  now = (): number => this.#now;
  monotonic = (): number => this.#now;

  /** Number of events so far. */
  get happened(): number {
    return this.#happened;
  }

  /** @returns cancels the event */
  at(delay_ms: number, happen: () => void): () => void {
    const event: Event = { at: this.#now + delay_ms, order: this.#order++, happen };
    this.#push(event);
    return () => {
      event.happen = undefined;
    };
  }

  after(ms: number, work: () => void): () => void {
    return this.at(ms, work);
  }

  every(ms: number, tick: () => void): () => void {
    let stop = (): void => undefined;
    const next = (): void => {
      stop = this.at(ms, () => {
        next();
        tick();
      });
    };
    next();
    return () => stop();
  }

  /** Resolves after a random time. */
  pass(most_ms: number): Promise<void> {
    return new Promise((resolve) => this.at(this.random.next() * most_ms, resolve));
  }

  /** Runs events until `done` holds, no event is left, or `limit_ms` have passed. @returns whether `done` holds */
  async run(done: () => boolean, limit_ms: number): Promise<boolean> {
    const end = this.#now + limit_ms;
    for (;;) {
      await quiet();
      if (done()) return true;
      const [next] = this.#events;
      if (next === undefined || next.at > end) {
        this.#now = Math.max(this.#now, next === undefined ? this.#now : end);
        return done();
      }
      this.#pop();
      if (next.happen === undefined) continue;
      this.#now = Math.max(this.#now, next.at);
      this.#happened++;
      next.happen();
    }
  }

  #push(event: Event): void {
    const heap = this.#events;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(ensure(heap[parent], "parent"), event)) break;
      heap[at] = ensure(heap[parent], "parent");
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const [left, right] = [ensure(heap[child], "left"), heap[child + 1]];
      if (right !== undefined && isBefore(right, left)) child++;
      const least = ensure(heap[child], "least");
      if (isBefore(last, least)) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = last;
  }
}

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** Waits until all pending promises have settled. */
const quiet = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
