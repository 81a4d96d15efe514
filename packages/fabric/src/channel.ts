import { assert, type JsonValue, LapidaryError } from "@lapidary/std";
import { type BufferPool, bufferPool } from "./buffer-pool.js";
import { closedError, epochError, frameError, limitError, lostError, sequenceError, unreachableError } from "./errors.js";
import { defaultLimits, encodeFrameHead, FrameKind, type FrameLimits, preludeBytes } from "./frame.js";
import { type Frame, FrameReader } from "./frame-reader.js";
import { type Runtime, systemRuntime, type Timer } from "./runtime.js";
import type { FrameFault, Wire, WireSink } from "./wire.js";

/** Receives one message. The receiver owns the payload and may `recycle` it after use. */
export type MessageHandler = (header: JsonValue, payload: Uint8Array<ArrayBuffer>) => void;

/** Why a channel closed. */
export type CloseReason =
  /** `close` was called on this side. */
  | { readonly kind: "local" }
  /** The peer called `close`. */
  | { readonly kind: "closed" }
  /** The peer died, was aborted, or violated the protocol. */
  | { readonly kind: "lost"; readonly error: LapidaryError };

/** Ordered messages in both directions between two processes. */
export interface Channel {
  /** The hello of the peer. */
  readonly peerHello: JsonValue;
  readonly epoch: number;
  readonly isOpen: boolean;
  /** Bytes received so far, heartbeats and unfinished messages included. */
  readonly receivedBytes: number;
  /**
   * Queues a message. The parts of the payload are sent one after the other and arrive as one payload. They are not copied and
   * must not change until `drained()` resolves. The header is JSON: NaN and infinities arrive as null.
   *
   * @throws LAP_FABRIC_CLOSED, LAP_FABRIC_LIMIT
   */
  send(header: JsonValue, payload?: readonly Uint8Array[]): void;
  /**
   * Resolves once everything sent before the call was written to the socket. Await it between large sends, because it is the
   * back-pressure of a slow receiver.
   *
   * @throws LAP_FABRIC_CLOSED
   */
  drained(): Promise<void>;
  /**
   * Sets the receiver of the messages, in order; messages that arrived earlier are delivered first. A payload starts at offset 0
   * of its ArrayBuffer, so that typed arrays over it need no copy. A LapidaryError thrown by the handler closes the channel.
   */
  onMessage(handler: MessageHandler): void;
  /** Returns a received payload for reuse; the caller must keep no view of it. Optional; it pays off above 100 KiB. */
  recycle(payload: Uint8Array): void;
  /** Sends an empty frame that shows that this process is alive. */
  sendHeartbeat(): void;
  /** Resolves, and never rejects, when the channel closes for any reason. */
  readonly closed: Promise<CloseReason>;
  /** Closes cleanly: sent messages still arrive, unless the peer does not read them within the timeout. */
  close(): Promise<CloseReason>;
  /** Drops the connection immediately, for the reason `error`. */
  abort(error: LapidaryError): void;
}

export interface ChannelOptions {
  /** The attempt that this side belongs to; both sides must have the same. */
  readonly epoch?: number;
  /** The hello that this side sends. */
  readonly hello?: JsonValue;
  /** Whether sent payloads carry a checksum. Received ones are checked if they carry one. Default true (0.15 ms/MB on each side). */
  readonly checkPayload?: boolean;
  readonly limits?: FrameLimits;
  /** Buffers for received payloads; the channels of a process should share one. */
  readonly pool?: BufferPool;
  /** Time limit of opening, and of a clean close. Default 5000. */
  readonly timeoutMs?: number;
  /** Default: that of the system. */
  readonly runtime?: Runtime;
  /** Changes each outgoing frame after its checksums were computed: for tests. */
  readonly injectFault?: FrameFault;
}

/** Limits for frames of a peer that has not sent its hello yet. */
const preHelloLimits: FrameLimits = { headerBytes: 64 * 1024, payloadBytes: 0 };

/** A channel over a wire. `attach` sets the wire; `opened` settles once both sides have sent their hello. */
export class WireChannel implements Channel, WireSink {
  readonly epoch: number;
  readonly closed: Promise<CloseReason>;
  readonly opened: Promise<Channel>;
  readonly #options: ChannelOptions;
  readonly #pool: BufferPool;
  readonly #reader: FrameReader;
  readonly #place: string;
  #wire: Wire | undefined;
  #nextSequence = 0;
  #expectedSequence = 0;
  #hello: JsonValue | undefined;
  #handler: MessageHandler | undefined;
  /** Messages that arrived before the handler was set. */
  readonly #inbox: Frame[] = [];
  /** Number of writes passed to the wire, and flushed by it. `drained` waits until the first count at its call is flushed. */
  #writes = 0;
  #flushed = 0;
  #drains: { readonly writes: number; readonly resolve: () => void; readonly reject: (error: LapidaryError) => void }[] = [];
  #reason: CloseReason | undefined;
  #closing = false;
  #stopTimer: () => void = () => undefined;
  #resolveClosed: (reason: CloseReason) => void = () => undefined;
  #resolveOpened: (channel: Channel) => void = () => undefined;
  #rejectOpened: (error: LapidaryError) => void = () => undefined;

  /** @param place names the peer in errors */
  constructor(place: string, options: ChannelOptions) {
    this.epoch = options.epoch ?? 0;
    assert(this.epoch >>> 0 === this.epoch, "an epoch is an unsigned 32-bit number", this.epoch);
    this.#place = place;
    this.#options = options;
    this.#pool = options.pool ?? bufferPool();
    this.#reader = new FrameReader(this.#pool, preHelloLimits, (frame) => this.#receive(frame));
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.opened = new Promise((resolve, reject) => {
      this.#resolveOpened = resolve;
      this.#rejectOpened = reject;
    });
    // A caller that closes a channel during opening need not handle `opened` too.
    this.opened.catch(() => undefined);
  }

  attach(wire: Wire): void {
    assert(this.#wire === undefined, "a channel has one wire");
    this.#wire = wire;
    this.#stopTimer = this.#timer.after(this.#timeoutMs, () =>
      this.#finish({ kind: "lost", error: unreachableError(this.#place, "the peer accepted the connection and sent no hello") }),
    );
    this.#write(FrameKind.hello, this.#options.hello ?? null, []);
  }

  get #timer(): Timer {
    return (this.#options.runtime ?? systemRuntime).timer;
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? 5000;
  }

  get #limits(): FrameLimits {
    return this.#options.limits ?? defaultLimits;
  }

  get peerHello(): JsonValue {
    assert(this.#hello !== undefined, "a channel is used once it is open");
    return this.#hello;
  }

  get isOpen(): boolean {
    return this.#hello !== undefined && this.#reason === undefined && !this.#closing;
  }

  get receivedBytes(): number {
    return this.#reader.receivedBytes;
  }

  send(header: JsonValue, payload: readonly Uint8Array[] = []): void {
    if (!this.isOpen) throw this.#closedError();
    const bytes = payload.reduce((sum, part) => sum + part.byteLength, 0);
    const { payloadBytes } = this.#limits;
    if (bytes > payloadBytes) throw limitError("payload", bytes, payloadBytes);
    this.#write(FrameKind.message, header, payload);
  }

  sendHeartbeat(): void {
    if (this.isOpen) this.#write(FrameKind.heartbeat, null, []);
  }

  drained(): Promise<void> {
    if (this.#reason !== undefined) return Promise.reject(this.#closedError());
    if (this.#flushed === this.#writes) return Promise.resolve();
    return new Promise((resolve, reject) => this.#drains.push({ writes: this.#writes, resolve, reject }));
  }

  onMessage(handler: MessageHandler): void {
    this.#handler = handler;
    this.#closeOnError(() => {
      for (let frame = this.#inbox.shift(); frame !== undefined; frame = this.#inbox.shift()) handler(frame.header, frame.payload);
    });
    if (this.#reason === undefined) this.#wire?.resume();
  }

  recycle(payload: Uint8Array): void {
    this.#pool.release(payload);
  }

  close(): Promise<CloseReason> {
    if (this.#reason === undefined && !this.#closing) {
      if (this.#wire === undefined || this.#hello === undefined) this.#finish({ kind: "local" });
      else {
        this.#write(FrameKind.bye, null, []);
        this.#closing = true;
        this.#wire.resume();
        this.#wire.end();
        this.#stopTimer = this.#timer.after(this.#timeoutMs, () => this.#finish({ kind: "local" }));
      }
    }
    return this.closed;
  }

  abort(error: LapidaryError): void {
    this.#finish({ kind: "lost", error });
  }

  target(): Uint8Array {
    return this.#reader.target();
  }

  advance(bytes: number): void {
    this.#closeOnError(() => this.#reader.advance(bytes));
  }

  feed(chunk: Uint8Array): void {
    if (this.#reason === undefined) this.#closeOnError(() => this.#reader.feed(chunk));
  }

  ended(error?: unknown): void {
    if (this.#closing) return this.#finish({ kind: "local" });
    const how = this.#reader.betweenFrames ? "without a goodbye" : "in the middle of a frame";
    this.#finish({ kind: "lost", error: lostError(`the connection ended ${how}`, this.#place, error) });
  }

  #write(kind: FrameKind, header: JsonValue, payload: readonly Uint8Array[]): void {
    const wire = this.#wire;
    assert(wire !== undefined, "a channel is used once it has a wire");
    const checkPayload = this.#options.checkPayload ?? true;
    const head = encodeFrameHead({ kind, epoch: this.epoch, sequence: this.#nextSequence, header, payload, checkPayload });
    const headerBytes = head.byteLength - preludeBytes;
    if (headerBytes > this.#limits.headerBytes) throw limitError("header", headerBytes, this.#limits.headerBytes);
    this.#nextSequence = (this.#nextSequence + 1) >>> 0;
    this.#writes++;
    const parts = [head, ...payload.filter((part) => part.byteLength > 0)];
    wire.write(this.#options.injectFault?.(parts) ?? parts, () => {
      this.#flushed++;
      while (this.#drains[0] !== undefined && this.#drains[0].writes <= this.#flushed) this.#drains.shift()?.resolve();
    });
  }

  #receive(frame: Frame): void {
    if (this.#reason !== undefined) return;
    if (frame.epoch !== this.epoch) throw epochError(this.epoch, frame.epoch, this.#place);
    if (frame.sequence !== this.#expectedSequence) throw sequenceError(this.#expectedSequence, frame.sequence);
    this.#expectedSequence = (this.#expectedSequence + 1) >>> 0;
    if ((frame.kind === FrameKind.hello) !== (this.#hello === undefined))
      throw frameError("protocol error: the first frame, and only the first, must be a hello");
    switch (frame.kind) {
      case FrameKind.hello:
        this.#hello = frame.header;
        this.#stopTimer();
        this.#reader.limits = this.#limits;
        this.#resolveOpened(this);
        return;
      case FrameKind.message:
        if (this.#handler !== undefined && this.#inbox.length === 0) return this.#handler(frame.header, frame.payload);
        this.#inbox.push(frame);
        if (!this.#closing) this.#wire?.pause();
        return;
      case FrameKind.heartbeat:
        return;
      case FrameKind.bye:
        this.#finish(this.#closing ? { kind: "local" } : { kind: "closed" });
    }
  }

  /** A LapidaryError in received data closes the channel, because the peer caused it. Any other error is a bug of Lapidary. */
  #closeOnError(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof LapidaryError)) throw error;
      this.#finish({ kind: "lost", error });
    }
  }

  #finish(reason: CloseReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#stopTimer();
    this.#wire?.destroy();
    const error = this.#closedError();
    for (const drain of this.#drains.splice(0)) drain.reject(error);
    this.#rejectOpened(reason.kind === "lost" ? reason.error : error);
    this.#resolveClosed(reason);
  }

  #closedError(): LapidaryError {
    const reason = this.#reason;
    if (reason?.kind === "lost") return closedError(reason.error.message);
    return closedError(reason?.kind === "closed" ? "the peer closed it" : "this side closed it");
  }
}
