import { assert, LapidaryError } from "@lapidary/std";
import type { BufferPool } from "./buffer-pool.js";
import type { Channel, CloseReason } from "./channel.js";
import { allGather, allReduce, type NumberArray, type Reduction, reduceScatter } from "./collectives.js";
import { closedError, PeerLostError } from "./errors.js";

/**
 * The view that one worker has of its worker group: a channel to every other worker. Ranks count from 0 in the order of the
 * paths given to `connectPeers`.
 *
 *   A `tag` names one instance of a collective (such as `step/op`). All its members use the same tag, and no other collective
 *   in flight does. Several collectives may be in flight; a buffer that arrives before it is requested is kept.
 *
 * The caller owns the result buffers; `recycle` returns them after use.
 */
export interface Peers {
  readonly self: number;
  readonly size: number;
  readonly epoch: number;
  /**
   * Sends one buffer to each peer of `sends`, and awaits one from each of `from` with the same tag. Resolves when all buffers
   * were received and sent; the caller may then change the sent ones. A buffer to the own rank is copied.
   *
   * @throws PeerLostError with the rank of the worker that died; the error that was passed to `abort`
   */
  exchange(tag: string, sends: ReadonlyMap<number, Uint8Array>, from: readonly number[]): Promise<Map<number, Uint8Array<ArrayBuffer>>>;
  /** Returns the bytes of every member of `group`, in the order of `group`; sizes may differ. */
  allGather(tag: string, group: readonly number[], bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>[]>;
  /** Reduces elementwise over the group, into a new array; bit-identical on every member. */
  allReduce<T extends NumberArray>(tag: string, group: readonly number[], values: T, reduction?: Reduction): Promise<T>;
  /** Sends `chunks[i]` to the i-th member of the group; returns the reduction of the chunks for this worker, in a new array. */
  reduceScatter<T extends NumberArray>(tag: string, group: readonly number[], chunks: readonly T[], reduction?: Reduction): Promise<T>;
  /** Returns a result buffer or array for reuse. */
  recycle(buffer: ArrayBufferView): void;
  /** Resolves, and never rejects, when the first peer is lost. A peer that closed cleanly is not lost. */
  readonly lost: Promise<PeerLostError>;
  /** Rejects all current and later operations with `error`, and drops the channels. */
  abort(error: LapidaryError): void;
  /** Closes all channels cleanly. */
  close(): Promise<void>;
}

/** The buffers that arrived from one peer with one tag, and the operation that waits for them. */
interface Slot {
  readonly arrived: Uint8Array<ArrayBuffer>[];
  waiter: { readonly resolve: (bytes: Uint8Array<ArrayBuffer>) => void; readonly reject: (error: LapidaryError) => void } | undefined;
}

/** Peers over a channel to each other rank. */
export class ChannelPeers implements Peers {
  readonly self: number;
  readonly size: number;
  readonly epoch: number;
  readonly lost: Promise<PeerLostError>;
  readonly #channels: ReadonlyMap<number, Channel>;
  readonly #pool: BufferPool;
  readonly #slots = new Map<number, Map<string, Slot>>();
  /** Peers that closed cleanly, and the error of later operations with them. */
  readonly #closedPeers = new Map<number, PeerLostError>();
  #failure: LapidaryError | undefined;
  #resolveLost: (error: PeerLostError) => void = () => undefined;

  /** @param pool the pool of the channels */
  constructor(self: number, epoch: number, channels: ReadonlyMap<number, Channel>, pool: BufferPool) {
    this.self = self;
    this.size = channels.size + 1;
    this.epoch = epoch;
    this.#channels = channels;
    this.#pool = pool;
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    this.#slots.set(self, new Map());
    for (const [peer, channel] of channels) {
      this.#slots.set(peer, new Map());
      channel.onMessage((header, payload) => {
        if (typeof header !== "string") return channel.abort(new PeerLostError(peer, "its message has no tag"));
        this.#receive(peer, header, payload);
      });
      void channel.closed.then((reason) => this.#closed(peer, reason));
    }
  }

  async exchange(
    tag: string,
    sends: ReadonlyMap<number, Uint8Array>,
    from: readonly number[],
  ): Promise<Map<number, Uint8Array<ArrayBuffer>>> {
    if (this.#failure !== undefined) throw this.#failure;
    // Register first: a buffer that already arrived is taken immediately, and a rejection finds its waiter.
    const awaited = from.map((peer) => this.#waitFor(peer, tag));
    const sent: Promise<void>[] = [];
    for (const [peer, bytes] of sends) {
      if (peer === this.self) {
        const copy = this.acquire(bytes.byteLength);
        copy.set(bytes);
        this.#receive(peer, tag, copy);
      } else sent.push(this.#send(peer, tag, bytes));
    }
    const [received] = await Promise.all([Promise.all(awaited), Promise.all(sent)]);
    return new Map(from.map((peer, i) => [peer, received[i] as Uint8Array<ArrayBuffer>]));
  }

  allGather(tag: string, group: readonly number[], bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>[]> {
    return allGather(this, tag, group, bytes);
  }

  allReduce<T extends NumberArray>(tag: string, group: readonly number[], values: T, reduction: Reduction = "sum"): Promise<T> {
    return allReduce(this, tag, group, values, reduction);
  }

  reduceScatter<T extends NumberArray>(
    tag: string,
    group: readonly number[],
    chunks: readonly T[],
    reduction: Reduction = "sum",
  ): Promise<T> {
    return reduceScatter(this, tag, group, chunks, reduction);
  }

  acquire(bytes: number): Uint8Array<ArrayBuffer> {
    return this.#pool.acquire(bytes);
  }

  recycle(buffer: ArrayBufferView): void {
    this.#pool.release(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength));
  }

  abort(error: LapidaryError): void {
    if (this.#failure !== undefined) return;
    for (const channel of this.#channels.values()) channel.abort(error);
    this.#fail(error);
  }

  async close(): Promise<void> {
    this.#fail(closedError("this worker left the worker group"));
    await Promise.all([...this.#channels.values()].map((channel) => channel.close()));
  }

  #fail(error: LapidaryError): void {
    this.#failure ??= error;
    for (const slots of this.#slots.values()) {
      for (const slot of slots.values()) slot.waiter?.reject(error);
      slots.clear();
    }
  }

  async #send(peer: number, tag: string, bytes: Uint8Array): Promise<void> {
    const channel = this.#channels.get(peer);
    assert(channel !== undefined, "a peer is a rank of the worker group", peer, this.size);
    try {
      channel.send(tag, [bytes]);
      await channel.drained();
    } catch (error) {
      // Report the reason for which the channel closed instead of LAP_FABRIC_CLOSED.
      if (error instanceof LapidaryError && error.code === "LAP_FABRIC_CLOSED")
        throw this.#failure ?? this.#closedPeers.get(peer) ?? lostPeer(peer, await channel.closed);
      throw error;
    }
  }

  #slot(peer: number, tag: string): Slot {
    const slots = this.#slots.get(peer);
    assert(slots !== undefined, "a peer is a rank of the worker group", peer, this.size);
    const existing = slots.get(tag);
    if (existing !== undefined) return existing;
    const slot: Slot = { arrived: [], waiter: undefined };
    slots.set(tag, slot);
    return slot;
  }

  #receive(peer: number, tag: string, payload: Uint8Array<ArrayBuffer>): void {
    const slot = this.#slot(peer, tag);
    if (slot.waiter === undefined) {
      slot.arrived.push(payload);
      return;
    }
    this.#slots.get(peer)?.delete(tag);
    slot.waiter.resolve(payload);
  }

  #waitFor(peer: number, tag: string): Promise<Uint8Array<ArrayBuffer>> {
    const slot = this.#slot(peer, tag);
    assert(slot.waiter === undefined, "one operation at a time waits for a tag", tag, peer);
    const waiting = slot.arrived.shift();
    if (slot.arrived.length === 0) this.#slots.get(peer)?.delete(tag);
    if (waiting !== undefined) return Promise.resolve(waiting);
    const closedError = this.#closedPeers.get(peer);
    if (closedError !== undefined) return Promise.reject(closedError);
    const promise = new Promise<Uint8Array<ArrayBuffer>>((resolve, reject) => {
      slot.waiter = { resolve, reject };
    });
    this.#slots.get(peer)?.set(tag, slot);
    return promise;
  }

  #closed(peer: number, reason: CloseReason): void {
    if (this.#failure !== undefined) return;
    const error = lostPeer(peer, reason);
    if (reason.kind === "lost") {
      this.#resolveLost(error);
      this.abort(error);
      return;
    }
    // The peer closed cleanly: only operations that still wait for it fail.
    this.#closedPeers.set(peer, error);
    const slots = this.#slots.get(peer) ?? new Map<string, Slot>();
    for (const [tag, slot] of slots)
      if (slot.waiter !== undefined) {
        slot.waiter.reject(error);
        slots.delete(tag);
      }
  }
}

function lostPeer(peer: number, reason: CloseReason): PeerLostError {
  switch (reason.kind) {
    case "lost":
      return reason.error instanceof PeerLostError ? reason.error : new PeerLostError(peer, reason.error.message, reason.error);
    case "closed":
      return new PeerLostError(peer, "it closed its channel before it sent the awaited data");
    case "local":
      return new PeerLostError(peer, "this side closed the channel");
  }
}
