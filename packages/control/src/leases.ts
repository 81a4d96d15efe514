import { type Clock, LapidaryError } from "@lapidary/std";
import type { Store } from "./store.js";

/** The right to act alone on `key` for a while. */
export interface Lease {
  readonly key: string;
  /** Unique to the process that holds it. */
  readonly holder: string;
  /** Larger than that of every earlier lease of the key: what it fences refuses smaller ones. */
  readonly epoch: number;
  readonly ttlMs: number;
}

export type Acquired =
  | { readonly granted: true; readonly lease: Lease }
  /** Someone else holds it, for `remainingMs` more unless renewed. */
  | { readonly granted: false; readonly holder: string; readonly epoch: number; readonly remainingMs: number };

// lapidary:lease:KEY   hash { holder, epoch }, expires with the lease
// lapidary:epoch:KEY   the last epoch granted; never expires
//
// Each script is one atomic step of the server, whose clock alone decides when a lease ends.

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

const whileHeld = (act: string): string => `
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] and redis.call('HGET', KEYS[1], 'epoch') == ARGV[2] then
  return ${act}
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
   * Takes the lease when it is free. Its present holder gets it again under the same epoch.
   *
   * @param above the largest epoch known from elsewhere (the disk): the new one is larger even if Redis forgot everything
   */
  async acquire(key: string, holder: string, ttlMs: number, above = 0): Promise<Acquired> {
    const reply = (await this.#store.run((redis) =>
      redis.eval(acquireScript, 2, this.#leaseKey(key), this.#store.key("epoch", key), holder, ttlMs, above),
    )) as [number, string, string, number];
    const [granted, by, epoch, remainingMs] = reply;
    if (granted === 0) return { granted: false, holder: by, epoch: Number(epoch), remainingMs };
    return { granted: true, lease: { key, holder, epoch: Number(epoch), ttlMs } };
  }

  /** Begins the lease's time anew; false when it is no longer held. */
  async renew(lease: Lease, timeoutMs = this.#store.timeoutMs): Promise<boolean> {
    const { key, holder, epoch, ttlMs } = lease;
    return 1 === (await this.#store.run((redis) => redis.eval(renewScript, 1, this.#leaseKey(key), holder, epoch, ttlMs), timeoutMs));
  }

  /** Gives the lease back; false when it was no longer held. */
  async release(lease: Lease): Promise<boolean> {
    return 1 === (await this.#store.run((redis) => redis.eval(releaseScript, 1, this.#leaseKey(lease.key), lease.holder, lease.epoch)));
  }

  /** Who holds the lease now. */
  async current(key: string): Promise<{ readonly holder: string; readonly epoch: number } | undefined> {
    const { holder, epoch } = await this.#store.run((redis) => redis.hgetall(this.#leaseKey(key)));
    return holder === undefined || epoch === undefined ? undefined : { holder, epoch: Number(epoch) };
  }

  #leaseKey(key: string): string {
    return this.#store.key("lease", key);
  }
}

/** A lease that is renewed three times in its time, until it is released or lost. */
export class HeldLease {
  readonly lease: Lease;
  /** Settles, and never rejects, with the reason (LAP_LEASE_LOST) once the lease may be another's. */
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

  /** Stops renewing and gives the lease back. */
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
    // The lease's time runs from before the command was sent, not from its answer.
    const asked = this.#clock.monotonic();
    const answer = await this.#ask(this.#heldUntil - asked);
    if (this.#timer !== timer) return;
    if (answer === "renewed") this.#heldUntil = asked + this.lease.ttlMs;
    else if (answer === "refused") return this.#lose("it ran out, or Redis forgot it");
    else if (this.#clock.monotonic() >= this.#heldUntil) return this.#lose(answer.message);
    this.#schedule();
  }

  async #ask(leftMs: number): Promise<"renewed" | "refused" | LapidaryError> {
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
        message: `the lease of ${this.lease.key}, epoch ${this.lease.epoch}, is lost: ${why}`,
        place: this.lease.key,
      }),
    );
  }
}
