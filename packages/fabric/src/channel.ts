import { assert, type JsonValue, LapidaryError } from "@lapidary/std";
import { type BufferPool, bufferPool } from "./buffer-pool.js";
import { closedError, epochError, frameError, limitError, lostError, sequenceError, unreachableError } from "./errors.js";
import { defaultLimits, encodeFrameHead, FrameKind, type FrameLimits, preludeBytes } from "./frame.js";
import { type Frame, FrameReader } from "./frame-reader.js";
import type { FrameTamper, Wire, WireSink } from "./wire.js";

/** Receives one message. The payload is the receiver's: nobody else writes to it, and it may `recycle` it when done. */
export type MessageHandler = (header: JsonValue, payload: Uint8Array<ArrayBuffer>) => void;

/** Why a channel closed. */
export type CloseReason =
  /** `close` was called on this side. */
  | { readonly kind: "here" }
  /** The other side called `close`. */
  | { readonly kind: "there" }
  /** The other side died, was given up, or broke the protocol. */
  | { readonly kind: "lost"; readonly error: LapidaryError };

/** Ordered messages in both directions between two processes. */
export interface Channel {
  /** What the other side said of itself when the channel was opened. */
  readonly peerHello: JsonValue;
  readonly epoch: number;
  readonly isOpen: boolean;
  /** Bytes heard so far, signs of life and unfinished messages included. */
  readonly receivedBytes: number;
  /**
   * Queues a message. The parts of the payload are sent one after the other and arrive as one; they are not copied and
   * must stay unchanged until `drained()` resolves. The header is JSON: NaN and infinities cross as null.
   *
   * @throws LAP_FABRIC_CLOSED, LAP_FABRIC_LIMIT
   */
  send(header: JsonValue, payload?: readonly Uint8Array[]): void;
  /**
   * Resolves once everything sent before the call has been handed to the system. Await it between large sends: it is
   * the back-pressure of a slow receiver.
   *
   * @throws LAP_FABRIC_CLOSED
   */
  drained(): Promise<void>;
  /**
   * Who receives the messages from now on, in order, the ones that came before included. The payload starts at offset 0
   * of its ArrayBuffer, so that typed arrays over it need no copy. A LapidaryError thrown by the handler closes the channel.
   */
  onMessage(handler: MessageHandler): void;
  /** Gives a received payload back for reuse; the caller keeps no view of it. Optional, and worth it above 100 KiB. */
  recycle(payload: Uint8Array): void;
  /** Sends a sign of life. */
  beat(): void;
  /** Settles, and never rejects, when the channel is closed for whatever reason. */
  readonly closed: Promise<CloseReason>;
  /** Closes in good order: what was sent still arrives, unless the other side does not take it in time. */
  close(): Promise<CloseReason>;
  /** Gives the other side up at once, for the reason `error`. */
  abort(error: LapidaryError): void;
}

export interface ChannelOptions {
  /** The attempt this side speaks for; the two sides must agree. */
  readonly epoch?: number;
  /** What this side says of itself. */
  readonly hello?: JsonValue;
  /** Whether the payloads sent carry a checksum; received ones are checked when they do. Default true (0.15 ms/MB a side). */
  readonly checkPayload?: boolean;
  readonly limits?: FrameLimits;
  /** Where received payloads land; share one among the channels of a process. */
  readonly pool?: BufferPool;
  /** How long opening may take, and closing in good order. Default 5000. */
  readonly timeoutMs?: number;
  /** Changes each frame on its way out, behind its checksums: for tests. */
  readonly tamper?: FrameTamper;
}

/** Until the other side has said who it is, it may not make us allocate more than this. */
const strangerLimits: FrameLimits = { headerBytes: 64 * 1024, payloadBytes: 0 };

/** How a channel over a wire is made: `attach` gives it the wire, `opened` settles once both sides have said hello. */
export class WireChannel implements Channel, WireSink {
  readonly epoch: number;
  readonly closed: Promise<CloseReason>;
  readonly opened: Promise<Channel>;
  readonly #options: ChannelOptions;
  readonly #pool: BufferPool;
  readonly #reader: FrameReader;
  readonly #place: string;
  #wire: Wire | undefined;
  #sent = 0;
  #expected = 0;
  #hello: JsonValue | undefined;
  #handler: MessageHandler | undefined;
  /** Messages that came before there was a handler. */
  readonly #inbox: Frame[] = [];
  /** Writes handed to the wire and flushed by it: a `drained` waits for the count at its call. */
  #writes = 0;
  #flushed = 0;
  #drains: { readonly writes: number; readonly resolve: () => void; readonly reject: (error: LapidaryError) => void }[] = [];
  #reason: CloseReason | undefined;
  #closing = false;
  #timer: NodeJS.Timeout | undefined;
  #resolveClosed: (reason: CloseReason) => void = () => undefined;
  #resolveOpened: (channel: Channel) => void = () => undefined;
  #rejectOpened: (error: LapidaryError) => void = () => undefined;

  /** @param place names the other side in errors */
  constructor(place: string, options: ChannelOptions) {
    this.epoch = options.epoch ?? 0;
    assert(this.epoch >>> 0 === this.epoch, "an epoch is an unsigned 32-bit number", this.epoch);
    this.#place = place;
    this.#options = options;
    this.#pool = options.pool ?? bufferPool();
    this.#reader = new FrameReader(this.#pool, strangerLimits, (frame) => this.#receive(frame));
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.opened = new Promise((resolve, reject) => {
      this.#resolveOpened = resolve;
      this.#rejectOpened = reject;
    });
    // Who closes a channel while it opens need not wait for `opened` too.
    this.opened.catch(() => undefined);
  }

  attach(wire: Wire): void {
    assert(this.#wire === undefined, "a channel has one wire");
    this.#wire = wire;
    this.#timer = setTimeout(
      () => this.#finish({ kind: "lost", error: unreachableError(this.#place, "it connected and said nothing") }),
      this.#timeoutMs,
    );
    this.#write(FrameKind.hello, this.#options.hello ?? null, []);
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

  beat(): void {
    if (this.isOpen) this.#write(FrameKind.beat, null, []);
  }

  drained(): Promise<void> {
    if (this.#reason !== undefined) return Promise.reject(this.#closedError());
    if (this.#flushed === this.#writes) return Promise.resolve();
    return new Promise((resolve, reject) => this.#drains.push({ writes: this.#writes, resolve, reject }));
  }

  onMessage(handler: MessageHandler): void {
    this.#handler = handler;
    this.#guard(() => {
      for (let frame = this.#inbox.shift(); frame !== undefined; frame = this.#inbox.shift()) handler(frame.header, frame.payload);
    });
    if (this.#reason === undefined) this.#wire?.resume();
  }

  recycle(payload: Uint8Array): void {
    this.#pool.give(payload);
  }

  close(): Promise<CloseReason> {
    if (this.#reason === undefined && !this.#closing) {
      if (this.#wire === undefined || this.#hello === undefined) this.#finish({ kind: "here" });
      else {
        this.#write(FrameKind.bye, null, []);
        this.#closing = true;
        this.#wire.resume();
        this.#wire.end();
        this.#timer = setTimeout(() => this.#finish({ kind: "here" }), this.#timeoutMs);
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
    this.#guard(() => this.#reader.advance(bytes));
  }

  feed(chunk: Uint8Array): void {
    if (this.#reason === undefined) this.#guard(() => this.#reader.feed(chunk));
  }

  ended(error?: unknown): void {
    if (this.#closing) return this.#finish({ kind: "here" });
    const how = this.#reader.betweenFrames ? "without a goodbye" : "in the middle of a frame";
    this.#finish({ kind: "lost", error: lostError(`the other side ended ${how}`, this.#place, error) });
  }

  #write(kind: FrameKind, header: JsonValue, payload: readonly Uint8Array[]): void {
    const wire = this.#wire;
    assert(wire !== undefined, "a channel is used once it has a wire");
    const checkPayload = this.#options.checkPayload ?? true;
    const head = encodeFrameHead({ kind, epoch: this.epoch, sequence: this.#sent, header, payload, checkPayload });
    const headerBytes = head.byteLength - preludeBytes;
    if (headerBytes > this.#limits.headerBytes) throw limitError("header", headerBytes, this.#limits.headerBytes);
    this.#sent = (this.#sent + 1) >>> 0;
    this.#writes++;
    const parts = [head, ...payload.filter((part) => part.byteLength > 0)];
    wire.write(this.#options.tamper?.(parts) ?? parts, () => {
      this.#flushed++;
      while (this.#drains[0] !== undefined && this.#drains[0].writes <= this.#flushed) this.#drains.shift()?.resolve();
    });
  }

  #receive(frame: Frame): void {
    if (this.#reason !== undefined) return;
    if (frame.epoch !== this.epoch) throw epochError(this.epoch, frame.epoch, this.#place);
    if (frame.sequence !== this.#expected) throw sequenceError(this.#expected, frame.sequence);
    this.#expected = (this.#expected + 1) >>> 0;
    if ((frame.kind === FrameKind.hello) !== (this.#hello === undefined)) throw frameError("a hello opens the channel, once");
    switch (frame.kind) {
      case FrameKind.hello:
        this.#hello = frame.header;
        clearTimeout(this.#timer);
        this.#reader.limits = this.#limits;
        this.#resolveOpened(this);
        return;
      case FrameKind.message:
        if (this.#handler !== undefined && this.#inbox.length === 0) return this.#handler(frame.header, frame.payload);
        this.#inbox.push(frame);
        if (!this.#closing) this.#wire?.pause();
        return;
      case FrameKind.beat:
        return;
      case FrameKind.bye:
        this.#finish(this.#closing ? { kind: "here" } : { kind: "there" });
    }
  }

  /** A LapidaryError on the way in is the other side's fault and costs the channel; anything else is a bug of ours. */
  #guard(work: () => void): void {
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
    clearTimeout(this.#timer);
    this.#wire?.destroy();
    const error = this.#closedError();
    for (const drain of this.#drains.splice(0)) drain.reject(error);
    this.#rejectOpened(reason.kind === "lost" ? reason.error : error);
    this.#resolveClosed(reason);
  }

  #closedError(): LapidaryError {
    const reason = this.#reason;
    if (reason?.kind === "lost") return closedError(reason.error.message);
    return closedError(reason?.kind === "there" ? "the other side closed it" : "this side closed it");
  }
}
