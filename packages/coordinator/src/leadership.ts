import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { HeldLease, type Lease, Leases, type Store } from "@lapidary/control";
import { type Clock, LapidaryError, replaceFile } from "@lapidary/std";
import { alreadyUp, usedElsewhere } from "@lapidary/api/home-errors";
import { isOfThisSpace, isRunning, type ProcessId, thisProcess } from "@lapidary/std/process-id";

export interface LeadershipOptions {
  readonly store: Store;
  readonly home: string;
  readonly clock: Clock;
  /** Another coordinator leads now: this one must end. */
  readonly onSuperseded: (error: LapidaryError) => void;
  /** The lease was lost and acquired again, or Redis cannot be reached. */
  readonly onError: (error: LapidaryError) => void;
}

const leaseKey = "coordinator";
const ttlMs = 5000;
const retryMs = 500;

/**
 * The right to run the jobs of this home: a lease in Redis that this process renews while it leads. If Redis loses the lease, the process acquires it
 * again, unless another process was faster. Every grant has a larger epoch than all grants before; the file `epoch` stores the last one.
 */
export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #leases: Leases;
  readonly #holder = JSON.stringify({ ...thisProcess(), nonce: randomBytes(6).toString("hex") });
  #held: HeldLease | undefined;
  #retry: NodeJS.Timeout | undefined;
  #ended = false;

  private constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#leases = new Leases(options.store);
  }

  /** @throws LAP_ALREADY_UP if another process leads; LAP_REDIS_… */
  static async take(options: LeadershipOptions): Promise<Leadership> {
    const leadership = new Leadership(options);
    for (let waited_ms = 0; ; ) {
      const answer = await leadership.#acquire();
      if (answer.granted) {
        leadership.#hold(answer.lease);
        return leadership;
      }
      const holder = parseHolder(answer.holder);
      if (holder !== undefined && isOfThisSpace(holder)) {
        if (isRunning(holder)) throw alreadyUp(options.home, `process ${holder.pid} leads`);
        // The holder died without a release, so this process releases the lease. The epoch is never granted again.
        await leadership.#leases.release({ key: leaseKey, holder: answer.holder, epoch: answer.epoch, ttlMs });
        continue;
      }
      // A process of another machine or container cannot be checked. Its lease expires unless it renews it.
      if (waited_ms > ttlMs + retryMs) throw usedElsewhere(options.home, "a process of another machine or container leads");
      await delay(retryMs);
      waited_ms += retryMs;
    }
  }

  get epoch(): number {
    return this.#held?.lease.epoch ?? 0;
  }

  async release(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#retry);
    // If Redis is down, the lease expires.
    await this.#held?.release().catch(() => undefined);
  }

  #hold(lease: Lease): void {
    replaceFile(epochPath(this.#options.home), `${lease.epoch}\n`);
    this.#held = new HeldLease(this.#leases, lease, this.#options.clock);
    void this.#held.lost.then((error) => {
      if (this.#ended) return;
      this.#options.onError(error);
      void this.#regain();
    });
  }

  async #regain(): Promise<void> {
    try {
      const answer = await this.#acquire();
      if (this.#ended) return;
      if (answer.granted) this.#hold(answer.lease);
      else this.#options.onSuperseded(alreadyUp(this.#options.home, `${answer.holder} leads now`));
    } catch (error) {
      if (!(error instanceof LapidaryError)) throw error;
      if (this.#ended) return;
      this.#options.onError(error);
      this.#retry = setTimeout(() => void this.#regain(), retryMs);
      this.#retry.unref();
    }
  }

  #acquire(): ReturnType<Leases["acquire"]> {
    return this.#leases.acquire(leaseKey, this.#holder, ttlMs, lastEpoch(this.#options.home));
  }
}

const epochPath = (home: string): string => join(home, "epoch");

/** The largest epoch ever granted for this home, from disk, because Redis may have lost it. */
function lastEpoch(home: string): number {
  const epoch = existsSync(epochPath(home)) ? Number(readFileSync(epochPath(home), "utf8")) : 0;
  return Number.isSafeInteger(epoch) ? epoch : 0;
}

/** Undefined if another version of Lapidary wrote it. */
function parseHolder(holder: string): ProcessId | undefined {
  try {
    return JSON.parse(holder) as ProcessId;
  } catch {
    return undefined;
  }
}
