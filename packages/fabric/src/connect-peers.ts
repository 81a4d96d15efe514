import { assert, type JsonValue, LapidaryError } from "@lapidary/std";
import { bufferPool } from "./buffer-pool.js";
import type { Channel, ChannelOptions } from "./channel.js";
import { PeerLostError } from "./errors.js";
import type { FrameLimits } from "./frame.js";
import { connect, listen } from "./listen.js";
import { memoryPair } from "./memory.js";
import { ChannelPeers, type Peers } from "./peers.js";
import type { FrameTamper } from "./wire.js";

export interface PeersOptions {
  /** Rank of this worker. */
  readonly self: number;
  /** The socket of each worker, by rank; this worker listens on its own while the gang assembles. */
  readonly paths: readonly string[];
  /** The attempt this gang works for; a worker of another attempt is refused. */
  readonly epoch: number;
  /** How long the gang may take to assemble. Default 10000. */
  readonly timeoutMs?: number;
  readonly limits?: FrameLimits;
  /** Changes the frames to other workers on their way out: for tests. */
  readonly tamper?: FrameTamper;
}

/** Members of a gang compute the same program and send each other what it says: tensors may be large. */
const gangLimits: FrameLimits = { headerBytes: 64 * 1024, payloadBytes: 2 ** 32 - 1 };

/** Milliseconds between two attempts to reach a worker that does not listen yet. */
const retryMs = 10;

/**
 * Joins the gang: resolves once there is a channel to every other worker. A worker dials those of lower rank and is dialled
 * by those of higher rank, so each pair has one channel. The own socket is gone when this returns.
 *
 * @throws PeerLostError naming a worker that did not come in time; LAP_FABRIC_EPOCH; LAP_FABRIC_ADDRESS
 */
export async function connectPeers(options: PeersOptions): Promise<Peers> {
  const { self, paths, epoch } = options;
  const path = paths[self];
  assert(path !== undefined, "a worker is a rank of its gang", self, paths.length);
  const timeoutMs = options.timeoutMs ?? 10_000;
  const pool = bufferPool();
  const channelOptions: ChannelOptions = {
    epoch,
    hello: { rank: self },
    limits: options.limits ?? gangLimits,
    pool,
    timeoutMs,
    ...(options.tamper === undefined ? {} : { tamper: options.tamper }),
  };
  const channels = new Map<number, Channel>();
  const above = paths.map((_, rank) => rank).filter((rank) => rank > self);
  const arrivals = new Arrivals(above, timeoutMs);
  const listener = above.length === 0 ? undefined : await listen(path, (channel) => arrivals.welcome(channel), channelOptions);
  try {
    const dialled = paths.slice(0, self).map(async (lower, rank) => {
      channels.set(rank, await dial(rank, lower, channelOptions, timeoutMs));
    });
    await Promise.all([...dialled, arrivals.complete]);
    for (const [rank, channel] of arrivals.channels) channels.set(rank, channel);
    return new ChannelPeers(self, epoch, channels, pool);
  } catch (error) {
    for (const channel of [...channels.values(), ...arrivals.channels.values()]) void channel.close();
    throw error;
  } finally {
    arrivals.stop();
    listener?.close();
  }
}

/** Dials until the worker listens. */
async function dial(rank: number, path: string, options: ChannelOptions, timeoutMs: number): Promise<Channel> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      const left = Math.max(1, Math.ceil(deadline - performance.now()));
      const channel = await connect(path, { ...options, timeoutMs: left });
      if (rankIn(channel.peerHello) === rank) return channel;
      void channel.close();
      throw new PeerLostError(rank, `another worker answers at its socket ${path}`);
    } catch (error) {
      if (!(error instanceof LapidaryError) || error.code !== "LAP_FABRIC_UNREACHABLE") throw error;
      if (performance.now() > deadline) throw new PeerLostError(rank, `it does not answer at ${path}`, error);
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }
}

/** The workers of higher rank, as they come. */
class Arrivals {
  readonly channels = new Map<number, Channel>();
  readonly complete: Promise<void>;
  readonly #awaited: Set<number>;
  readonly #timer: NodeJS.Timeout;
  #resolve: () => void = () => undefined;

  constructor(ranks: readonly number[], timeoutMs: number) {
    this.#awaited = new Set(ranks);
    const { promise, resolve, reject } = deferred();
    this.complete = promise;
    this.#resolve = resolve;
    this.complete.catch(() => undefined);
    this.#timer = setTimeout(() => {
      const [first] = this.#awaited;
      reject(new PeerLostError(first ?? -1, "it did not join the gang in time"));
    }, timeoutMs);
    if (this.#awaited.size === 0) this.#resolve();
  }

  welcome(channel: Channel): void {
    const rank = rankIn(channel.peerHello);
    if (rank === undefined || !this.#awaited.delete(rank)) {
      void channel.close();
      return;
    }
    this.channels.set(rank, channel);
    if (this.#awaited.size === 0) this.#resolve();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

function rankIn(hello: JsonValue): number | undefined {
  if (hello === null || typeof hello !== "object" || !("rank" in hello)) return undefined;
  return typeof hello.rank === "number" ? hello.rank : undefined;
}

/** A gang of `size` workers within one process, by rank: for tests of what runs on it. */
export async function memoryPeers(size: number, epoch = 0): Promise<Peers[]> {
  const channels = Array.from({ length: size }, () => new Map<number, Channel>());
  const pool = bufferPool();
  const options: ChannelOptions = { epoch, limits: gangLimits, pool };
  for (let a = 0; a < size; a++)
    for (let b = a + 1; b < size; b++) {
      const [ofA, ofB] = await memoryPair(options);
      channels[a]?.set(b, ofA);
      channels[b]?.set(a, ofB);
    }
  return channels.map((own, rank) => new ChannelPeers(rank, epoch, own, pool));
}
