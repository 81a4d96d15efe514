/** A size that could not be started so often in a row is given up. */
const mostRefusals = 2;

/**
 * How many workers an attempt is started with. When one cannot be replaced, the others take its block over: the same program with fewer workers, slower; and it gets its block back
 * when it can be started again.
 */
export class Crew {
  readonly wanted: number;
  /** Processes of the attempt before, by worker. */
  pids: readonly number[] = [];
  #size: number;
  #refusals = 0;

  constructor(wanted: number) {
    this.wanted = wanted;
    this.#size = wanted;
  }

  get size(): number {
    return this.#size;
  }

  /** Workers that are missing. */
  get missing(): number {
    return this.wanted - this.#size;
  }

  started(): void {
    this.#refusals = 0;
  }

  /** The workers of an attempt could not be started. @returns whether the next one does with fewer */
  refused(): boolean {
    if (++this.#refusals < mostRefusals || this.#size === 1) return false;
    this.#refusals = 0;
    this.#size--;
    return true;
  }

  /** All can be started again. */
  complete(): void {
    this.#size = this.wanted;
    this.#refusals = 0;
  }
}
