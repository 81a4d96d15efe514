/** Copies may take this share of the time of steps as processor time of a worker. That workers wait for one another's makes it half as much again by the clock. */
const share = 0.02;
/** A copy is never older than so many steps. */
const maxSteps = 64;

/**
 * How often the state is copied in the workers' memory: after every step where that costs next to nothing, more seldom where copies are large beside
 * steps. What is lost with a worker is at most so many steps, computed again.
 */
export class ReplicationInterval {
  #step_ms = 0;
  #replication_ms = 0;
  #last = 0;

  /** Steps between two copies. */
  get interval(): number {
    if (this.#step_ms === 0) return 1;
    return Math.min(maxSteps, Math.max(1, Math.ceil(this.#replication_ms / (share * this.#step_ms))));
  }

  isDue(step: number): boolean {
    if (step < this.#last) this.#last = step - this.interval;
    if (step - this.#last < this.interval) return false;
    this.#last = step;
    return true;
  }

  stepTook(ms: number): void {
    this.#step_ms = smooth(this.#step_ms, ms);
  }

  replicationTook(ms: number): void {
    this.#replication_ms = smooth(this.#replication_ms, ms);
  }
}

const smooth = (before: number, now: number): number => (before === 0 ? now : 0.8 * before + 0.2 * now);
