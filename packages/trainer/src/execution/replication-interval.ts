/** Replication may take this share of the time of steps as processor time of a worker. Because workers wait for one another, it takes 1.5 times as much wall-clock time. */
const share = 0.02;
/** Maximum age of a replica in steps. */
const maxSteps = 64;

/**
 * How often the workers replicate the state in memory: after every step if that is cheap, less often if replication is slow compared with a step.
 * After the loss of a worker at most this many steps are computed again.
 */
export class ReplicationInterval {
  #step_ms = 0;
  #replication_ms = 0;
  #last = 0;

  /** Steps between two replicas. */
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
