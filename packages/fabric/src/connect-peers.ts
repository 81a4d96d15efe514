import { assert, type JsonValue, LapidaryError } from "@lapidary/std";
import { bufferPool } from "./buffer-pool.js";
import type { Channel, ChannelOptions } from "./channel.js";
import { PeerLostError } from "./errors.js";
import type { FrameLimits } from "./frame.js";
import { connect, listen } from "./listen.js";
import { ChannelPeers, type Peers } from "./peers.js";
import { delay, type Runtime, systemRuntime, type Timer } from "./runtime.js";
import type { FrameFault } from "./wire.js";

export interface PeersOptions {
  /** Rank of this worker. */
  readonly self: number;
  /** The socket of each worker, by rank. This worker listens on its own until the group is complete. */
  readonly paths: readonly string[];
  /** The attempt that this worker group runs; a worker of another attempt is rejected. */
  readonly epoch: number;
  /** Time limit until the group is complete. Default 10000. */
  readonly timeoutMs?: number;
  readonly limits?: FrameLimits;
  /** Default: that of the system. */
  readonly runtime?: Runtime;
  /** Changes the outgoing frames to other workers: for tests. */
  readonly injectFault?: FrameFault;
}

/** The workers of a group send each other tensors, which may be large. */
export const workerGroupLimits: FrameLimits = { headerBytes: 64 * 1024, payloadBytes: 2 ** 32 - 1 };

/** Milliseconds between two attempts to connect to a worker that does not listen yet. */
const retryMs = 10;

/**
 * Joins the worker group: resolves once there is a channel to every other worker. A worker connects to the workers of lower
 * rank and accepts those of higher rank, so each pair has one channel. Its own socket is removed before this function returns.
 *
 * @throws PeerLostError with the rank of a worker that did not join in time; LAP_FABRIC_EPOCH; LAP_FABRIC_ADDRESS
 */
export async function connectPeers(options: PeersOptions): Promise<Peers> {
  const { self, paths, epoch } = options;
  const path = paths[self];
  assert(path !== undefined, "the own rank is a rank of the worker group", self, paths.length);
  const timeoutMs = options.timeoutMs ?? 10_000;
  const runtime = options.runtime ?? systemRuntime;
  const pool = bufferPool();
  const channelOptions: ChannelOptions = {
    epoch,
    hello: { rank: self },
    limits: options.limits ?? workerGroupLimits,
    pool,
    timeoutMs,
    runtime,
    ...(options.injectFault === undefined ? {} : { injectFault: options.injectFault }),
  };
  const channels = new Map<number, Channel>();
  const higherRanks = paths.map((_, rank) => rank).filter((rank) => rank > self);
  const incoming = new IncomingPeers(higherRanks, timeoutMs, runtime.timer);
  const listener = higherRanks.length === 0 ? undefined : await listen(path, (channel) => incoming.accept(channel), channelOptions);
  try {
    const outgoing = paths.slice(0, self).map(async (peerPath, rank) => {
      channels.set(rank, await dial(rank, peerPath, channelOptions, { ...runtime, timeoutMs }));
    });
    await Promise.all([...outgoing, incoming.complete]);
    for (const [rank, channel] of incoming.channels) channels.set(rank, channel);
    return new ChannelPeers(self, epoch, channels, pool);
  } catch (error) {
    for (const channel of [...channels.values(), ...incoming.channels.values()]) void channel.close();
    throw error;
  } finally {
    incoming.stop();
    listener?.close();
  }
}

/** Retries until the worker listens. */
async function dial(
  rank: number,
  path: string,
  options: ChannelOptions,
  { clock, timer, timeoutMs }: Runtime & { readonly timeoutMs: number },
): Promise<Channel> {
  const deadline = clock.monotonic() + timeoutMs;
  for (;;) {
    try {
      const remainingMs = Math.max(1, Math.ceil(deadline - clock.monotonic()));
      const channel = await connect(path, { ...options, timeoutMs: remainingMs });
      if (rankIn(channel.peerHello) === rank) return channel;
      void channel.close();
      throw new PeerLostError(rank, `another worker listens on its socket ${path}`);
    } catch (error) {
      if (!(error instanceof LapidaryError) || error.code !== "LAP_FABRIC_UNREACHABLE") throw error;
      if (clock.monotonic() > deadline) throw new PeerLostError(rank, `it does not accept connections on ${path}`, error);
      await delay(timer, retryMs);
    }
  }
}

/** The channels that workers of higher rank open to this one. */
class IncomingPeers {
  readonly channels = new Map<number, Channel>();
  readonly complete: Promise<void>;
  readonly #awaited: Set<number>;
  readonly stop: () => void;
  #resolve: () => void = () => undefined;

  constructor(ranks: readonly number[], timeoutMs: number, timer: Timer) {
    this.#awaited = new Set(ranks);
    const { promise, resolve, reject } = deferred();
    this.complete = promise;
    this.#resolve = resolve;
    this.complete.catch(() => undefined);
    this.stop = timer.after(timeoutMs, () => {
      const [first] = this.#awaited;
      reject(new PeerLostError(first ?? -1, "it did not join the worker group in time"));
    });
    if (this.#awaited.size === 0) this.#resolve();
  }

  accept(channel: Channel): void {
    const rank = rankIn(channel.peerHello);
    if (rank === undefined || !this.#awaited.delete(rank)) {
      void channel.close();
      return;
    }
    this.channels.set(rank, channel);
    if (this.#awaited.size === 0) this.#resolve();
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

function rankIn(hello: JsonValue): number | undefined {
  if (hello === null || typeof hello !== "object" || !("rank" in hello)) return undefined;
  return typeof hello.rank === "number" ? hello.rank : undefined;
}
