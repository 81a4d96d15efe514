import { type Clock, type Random, ensure } from "@lapidary/std";

/** An event, and its time. */
interface Event {
  readonly at: number;
  readonly order: number;
  readonly happen: () => void;
}

/**
 * A virtual clock that advances when no other work is left. Everything that waits for it is an event, and the seed alone decides the order of
 * events.
 */
export class VirtualTime implements Clock {
  #now = 0;
  #order = 0;
  readonly #events: Event[] = [];

  constructor(readonly random: Random) {}

  now = (): number => this.#now;
  monotonic = (): number => this.#now;

  at(delay_ms: number, happen: () => void): void {
    this.#events.push({ at: this.#now + delay_ms, order: this.#order++, happen });
  }

  /** Resolves after a random time. */
  pass(most_ms: number): Promise<void> {
    return new Promise((resolve) => this.at(this.random.next() * most_ms, resolve));
  }

  /** Runs events until `done` holds or no event is left. @returns whether `done` holds */
  async run(done: () => boolean, mostEvents: number): Promise<boolean> {
    for (let i = 0; i < mostEvents; i++) {
      await quiet();
      if (done()) return true;
      if (this.#events.length === 0) return false;
      let first = 0;
      this.#events.forEach((event, at) => {
        const best = ensure(this.#events[first], "event");
        if (event.at < best.at || (event.at === best.at && event.order < best.order)) first = at;
      });
      const [event] = this.#events.splice(first, 1);
      this.#now = Math.max(this.#now, ensure(event, "event").at);
      ensure(event, "event").happen();
    }
    return done();
  }
}

/** Waits until all pending promises have settled. */
const quiet = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
