import { assert, LapidaryError } from "@lapidary/std";
import type { BufferPool } from "./buffer-pool.js";
import type { Channel, CloseReason } from "./channel.js";
import { allGather, allReduce, type NumberArray, type Reduction, reduceScatter } from "./collectives.js";
import { closedError, PeerLostError } from "./errors.js";

/**
 * A gang of workers, each with a channel to every other, as one of them sees it. Ranks count from 0 in the order of the
 * paths given to `connectPeers`.
 *
 *   A `tag` names one instance of a collective (say `step/op`): all its members use the same, and no other does so at the
 *   same time. Several may be in flight; what arrives before it is asked for is kept.
 *
 * Results come in buffers that are the caller's; `recycle` gives them back when they were copied elsewhere.
 */
export interface Peers {
  readonly self: number;
  readonly size: number;
  readonly epoch: number;
  /**
   * Sends one buffer to each peer of `sends`, and awaits one from each of `from` under the same tag. Resolves when those
   * have come and the own ones have been sent, so that they may be changed. A buffer to oneself is handed through.
   *
   * @throws PeerLostError naming the worker that died; whatever `abort` was given
   */
  exchange(tag: string, sends: ReadonlyMap<number, Uint8Array>, from: readonly number[]): Promise<Map<number, Uint8Array<ArrayBuffer>>>;
  /** The bytes of every member of `group`, in the order of `group`; sizes may differ. */
  allGather(tag: string, group: readonly number[], bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>[]>;
  /** Elementwise over the group, in a new array; bit for bit the same on every member. */
  allReduce<T extends NumberArray>(tag: string, group: readonly number[], values: T, reduction?: Reduction): Promise<T>;
  /** `chunks[i]` goes to the i-th member of the group; returns the reduction of the chunks meant for this worker, in a new array. */
  reduceScatter<T extends NumberArray>(tag: string, group: readonly number[], chunks: readonly T[], reduction?: Reduction): Promise<T>;
  /** Gives a buffer or array that an operation returned back for reuse. */
  recycle(buffer: ArrayBufferView): void;
  /** Settles, and never rejects, when the first peer is lost; a peer that closed in good order is not lost. */
  readonly lost: Promise<PeerLostError>;
  /** Rejects all that is in flight, and all that is asked for later, with `error`, and drops the channels. */
  abort(error: LapidaryError): void;
  /** Closes all channels in good order. */
  close(): Promise<void>;
}

/** What came from one peer under one tag, and who waits for it. */
interface Slot {
  readonly arrived: Uint8Array<ArrayBuffer>[];
  waiter: { readonly resolve: (bytes: Uint8Array<ArrayBuffer>) => void; readonly reject: (error: LapidaryError) => void } | undefined;
}

/** Peers over one channel to each other rank. */
export class ChannelPeers implements Peers {
  readonly self: number;
  readonly size: number;
  readonly epoch: number;
  readonly lost: Promise<PeerLostError>;
  readonly #channels: ReadonlyMap<number, Channel>;
  readonly #pool: BufferPool;
  readonly #slots = new Map<number, Map<string, Slot>>();
  /** Peers that closed in good order, and what asking for them yields. */
  readonly #gone = new Map<number, PeerLostError>();
  #failure: LapidaryError | undefined;
  #resolveLost: (error: PeerLostError) => void = () => undefined;

  /** @param pool the one that the channels receive into */
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
        if (typeof header !== "string") return channel.abort(new PeerLostError(peer, "it sent a message without a tag"));
        this.#arrive(peer, header, payload);
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
    // Ask first: an answer that already waits is taken at once, and a rejection finds its waiter.
    const awaited = from.map((peer) => this.#take(peer, tag));
    const sent: Promise<void>[] = [];
    for (const [peer, bytes] of sends) {
      if (peer === this.self) {
        const copy = this.take(bytes.byteLength);
        copy.set(bytes);
        this.#arrive(peer, tag, copy);
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

  take(bytes: number): Uint8Array<ArrayBuffer> {
    return this.#pool.take(bytes);
  }

  recycle(buffer: ArrayBufferView): void {
    this.#pool.give(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength));
  }

  abort(error: LapidaryError): void {
    if (this.#failure !== undefined) return;
    for (const channel of this.#channels.values()) channel.abort(error);
    this.#fail(error);
  }

  async close(): Promise<void> {
    this.#fail(closedError("this worker left the gang"));
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
    assert(channel !== undefined, "a peer is a rank of the gang", peer, this.size);
    try {
      channel.send(tag, [bytes]);
      await channel.drained();
    } catch (error) {
      // The reason why the channel closed says more than that it is closed.
      if (error instanceof LapidaryError && error.code === "LAP_FABRIC_CLOSED")
        throw this.#failure ?? this.#gone.get(peer) ?? lostPeer(peer, await channel.closed);
      throw error;
    }
  }

  #slot(peer: number, tag: string): Slot {
    const slots = this.#slots.get(peer);
    assert(slots !== undefined, "a peer is a rank of the gang", peer, this.size);
    const known = slots.get(tag);
    if (known !== undefined) return known;
    const slot: Slot = { arrived: [], waiter: undefined };
    slots.set(tag, slot);
    return slot;
  }

  #arrive(peer: number, tag: string, payload: Uint8Array<ArrayBuffer>): void {
    const slot = this.#slot(peer, tag);
    if (slot.waiter === undefined) {
      slot.arrived.push(payload);
      return;
    }
    this.#slots.get(peer)?.delete(tag);
    slot.waiter.resolve(payload);
  }

  #take(peer: number, tag: string): Promise<Uint8Array<ArrayBuffer>> {
    const slot = this.#slot(peer, tag);
    assert(slot.waiter === undefined, "one operation at a time waits for a tag", tag, peer);
    const waiting = slot.arrived.shift();
    if (slot.arrived.length === 0) this.#slots.get(peer)?.delete(tag);
    if (waiting !== undefined) return Promise.resolve(waiting);
    const gone = this.#gone.get(peer);
    if (gone !== undefined) return Promise.reject(gone);
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
    // Gone in good order: that is an error only for what still waits for it.
    this.#gone.set(peer, error);
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
    case "there":
      return new PeerLostError(peer, "it closed its channel before it sent what is awaited");
    case "here":
      return new PeerLostError(peer, "this side closed the channel");
  }
}
