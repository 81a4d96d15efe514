import { type Clock, LapidaryError } from "@lapidary/std";
import type { Store } from "./store.js";

/** The exclusive right to act on `key` for a limited time. */
export interface Lease {
  readonly key: string;
  /** Unique to the process that holds it. */
  readonly holder: string;
  /** Larger than the epoch of every earlier lease of the key. A fenced resource rejects smaller epochs. */
  readonly epoch: number;
  readonly ttlMs: number;
}

export type Acquired =
  | { readonly granted: true; readonly lease: Lease }
  /** Another holder has it, for `remainingMs` more unless it renews. */
  | { readonly granted: false; readonly holder: string; readonly epoch: number; readonly remainingMs: number };

// lapidary:lease:KEY   hash { holder, epoch }, expires with the lease
// lapidary:epoch:KEY   the last epoch granted; never expires
//
// Each script runs atomically on the server. Only the server's clock decides when a lease expires.

const acquireScript = `
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then
  return {0, holder, redis.call('HGET', KEYS[1], 'epoch'), redis.call('PTTL', KEYS[1])}
end
local epoch
if holder then
  epoch = redis.call('HGET', KEYS[1], 'epoch')
else
  epoch = math.max(tonumber(redis.call('GET', KEYS[2]) or 0), tonumber(ARGV[3])) + 1
  redis.call('SET', KEYS[2], epoch)
  redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'epoch', epoch)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, ARGV[1], tostring(epoch), tonumber(ARGV[2])}`;

const whileHeld = (command: string): string => `
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] and redis.call('HGET', KEYS[1], 'epoch') == ARGV[2] then
  return ${command}
end
return 0`;
const renewScript = whileHeld("redis.call('PEXPIRE', KEYS[1], ARGV[3])");
const releaseScript = whileHeld("redis.call('DEL', KEYS[1])");

/** Leases in Redis, each grant with a fencing epoch. All methods throw LAP_REDIS_UNREACHABLE. */
export class Leases {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Acquires the lease if it is free. The current holder gets it again with the same epoch.
   *
   * @param largestKnownEpoch the largest epoch on disk: the new epoch is larger, even if Redis lost its data
   */
  async acquire(key: string, holder: string, ttlMs: number, largestKnownEpoch = 0): Promise<Acquired> {
    const reply = (await this.#store.run((redis) =>
      redis.eval(acquireScript, 2, this.#leaseKey(key), this.#store.key("epoch", key), holder, ttlMs, largestKnownEpoch),
    )) as [number, string, string, number];
    const [granted, currentHolder, epoch, remainingMs] = reply;
    if (granted === 0) return { granted: false, holder: currentHolder, epoch: Number(epoch), remainingMs };
    return { granted: true, lease: { key, holder, epoch: Number(epoch), ttlMs } };
  }

  /** Restarts the time to live of the lease; false if it is no longer held. */
  async renew(lease: Lease, timeoutMs = this.#store.timeoutMs): Promise<boolean> {
    const { key, holder, epoch, ttlMs } = lease;
    return 1 === (await this.#store.run((redis) => redis.eval(renewScript, 1, this.#leaseKey(key), holder, epoch, ttlMs), timeoutMs));
  }

  /** Releases the lease; false if it was no longer held. */
  async release(lease: Lease): Promise<boolean> {
    return 1 === (await this.#store.run((redis) => redis.eval(releaseScript, 1, this.#leaseKey(lease.key), lease.holder, lease.epoch)));
  }

  /** The current holder of the lease. */
  async current(key: string): Promise<{ readonly holder: string; readonly epoch: number } | undefined> {
    const { holder, epoch } = await this.#store.run((redis) => redis.hgetall(this.#leaseKey(key)));
    return holder === undefined || epoch === undefined ? undefined : { holder, epoch: Number(epoch) };
  }

  #leaseKey(key: string): string {
    return this.#store.key("lease", key);
  }
}

/** Renews a lease three times in each time to live, until it is released or lost. */
export class HeldLease {
  readonly lease: Lease;
  /** Resolves with the reason (LAP_LEASE_LOST) once another process may hold the lease. Never rejects. */
  readonly lost: Promise<LapidaryError>;
  readonly #leases: Leases;
  readonly #clock: Clock;
  #timer: NodeJS.Timeout | undefined;
  #heldUntil: number;
  #resolveLost: (error: LapidaryError) => void = () => undefined;

  /** @param lease just acquired */
  constructor(leases: Leases, lease: Lease, clock: Clock) {
    this.lease = lease;
    this.#leases = leases;
    this.#clock = clock;
    this.#heldUntil = clock.monotonic() + lease.ttlMs;
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    this.#schedule();
  }

  /** Stops renewing and releases the lease. */
  async release(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#leases.release(this.lease);
  }

  #schedule(): void {
    const leftMs = this.#heldUntil - this.#clock.monotonic();
    this.#timer = setTimeout(() => void this.#renew(), Math.max(0, Math.min(this.lease.ttlMs / 3, leftMs)));
    this.#timer.unref();
  }

  async #renew(): Promise<void> {
    const timer = this.#timer;
    // Count the time to live from before the command is sent, not from its reply.
    const sentAt = this.#clock.monotonic();
    const answer = await this.#tryRenew(this.#heldUntil - sentAt);
    if (this.#timer !== timer) return;
    if (answer === "renewed") this.#heldUntil = sentAt + this.lease.ttlMs;
    else if (answer === "refused") return this.#lose("it expired, or Redis lost its data");
    else if (this.#clock.monotonic() >= this.#heldUntil) return this.#lose(answer.message);
    this.#schedule();
  }

  async #tryRenew(leftMs: number): Promise<"renewed" | "refused" | LapidaryError> {
    try {
      return (await this.#leases.renew(this.lease, Math.max(0, leftMs))) ? "renewed" : "refused";
    } catch (error) {
      if (error instanceof LapidaryError) return error;
      throw error;
    }
  }

  #lose(why: string): void {
    this.#timer = undefined;
    this.#resolveLost(
      new LapidaryError({
        code: "LAP_LEASE_LOST",
        message: `lost the lease of ${this.lease.key}, epoch ${this.lease.epoch}: ${why}`,
        location: this.lease.key,
      }),
    );
  }
}
