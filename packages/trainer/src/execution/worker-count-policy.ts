/** After this many failed starts in a row, the next attempt has one worker less. */
const maxRefusals = 2;

/**
 * The number of workers of an attempt. If a worker cannot be replaced, the others compute its block: the same program with fewer workers, slower. When all
 * workers can be started again, the next attempt has all of them.
 */
export class WorkerCountPolicy {
  readonly wanted: number;
  /** Processes of the previous attempt, by worker. */
  pids: readonly number[] = [];
  #current: number;
  #refusals = 0;

  constructor(wanted: number) {
    this.wanted = wanted;
    this.#current = wanted;
  }

  get current(): number {
    return this.#current;
  }

  /** Workers that are missing. */
  get missing(): number {
    return this.wanted - this.#current;
  }

  started(): void {
    this.#refusals = 0;
  }

  /** The workers of an attempt could not be started. @returns whether the next attempt has fewer workers */
  refused(): boolean {
    if (++this.#refusals < maxRefusals || this.#current === 1) return false;
    this.#refusals = 0;
    this.#current--;
    return true;
  }

  /** All can be started again. */
  complete(): void {
    this.#current = this.wanted;
    this.#refusals = 0;
  }
}
