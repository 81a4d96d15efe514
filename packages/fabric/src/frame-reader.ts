import type { JsonValue } from "@lapidary/std";
import { type BufferPool, fresh } from "./buffer-pool.js";
import { crc32 } from "./crc32.js";
import { frameError } from "./errors.js";
import { decodeHeader, decodePrelude, type FrameKind, type FrameLimits, type Prelude, preludeBytes } from "./frame.js";

/** A complete frame that passed every check. `payload` starts at offset 0 of its own ArrayBuffer. */
export interface Frame {
  readonly kind: FrameKind;
  readonly epoch: number;
  readonly sequence: number;
  readonly header: JsonValue;
  readonly payload: Uint8Array<ArrayBuffer>;
}

const scratchBytes = 64 * 1024;

/**
 * Turns a stream of bytes, cut anywhere, into frames. The socket writes the bytes directly into the buffer that `target`
 * returns: a scratch buffer for small frames, and the final buffer for the rest of a large header or payload.
 *
 *        target()                           advance(n)
 *   ┌──────────────┐   n bytes arrive   ┌──────────────────┐   whole frames
 *   │ scratch, or  │ ─────────────────► │ check, cut, copy │ ───────────────► onFrame
 *   │ body.subarray│                    │ at most 64 KiB   │
 *   └──────────────┘                    └──────────────────┘
 *
 * After an error the reader cannot continue, because the start of the next frame is unknown.
 */
export class FrameReader {
  readonly #pool: BufferPool;
  readonly #onFrame: (frame: Frame) => void;
  #limits: FrameLimits;
  readonly #scratch = fresh(scratchBytes);
  /** Unread bytes of the scratch buffer are [start, end). */
  #start = 0;
  #end = 0;
  #prelude: Prelude | undefined;
  #header: { readonly value: JsonValue } | undefined;
  /** The large header or payload being filled, and its filled bytes. It is the payload if `#header` is set, else the header. */
  #body: Uint8Array<ArrayBuffer> | undefined;
  #filled = 0;
  #payloadChecksum = 0;
  #received = 0;

  constructor(pool: BufferPool, limits: FrameLimits, onFrame: (frame: Frame) => void) {
    this.#pool = pool;
    this.#limits = limits;
    this.#onFrame = onFrame;
  }

  /** Applies from the next frame on. */
  set limits(limits: FrameLimits) {
    this.#limits = limits;
  }

  /** Number of bytes received so far. */
  get receivedBytes(): number {
    return this.#received;
  }

  /** Whether the stream is between two frames. */
  get betweenFrames(): boolean {
    return this.#prelude === undefined && this.#start === this.#end;
  }

  /** The buffer for the next bytes; never empty. Valid until the next call of `advance`. */
  target(): Uint8Array<ArrayBuffer> {
    if (this.#body !== undefined) return this.#body.subarray(this.#filled);
    if (this.#start === this.#end) [this.#start, this.#end] = [0, 0];
    else if (this.#start > 0 && this.#end > scratchBytes / 2) {
      this.#scratch.copyWithin(0, this.#start, this.#end);
      [this.#start, this.#end] = [0, this.#end - this.#start];
    }
    return this.#scratch.subarray(this.#end);
  }

  /**
   * Processes `bytes` new bytes in the last target and delivers the frames that they complete.
   *
   * @throws LAP_FABRIC_FRAME, LAP_FABRIC_LIMIT
   */
  advance(bytes: number): void {
    this.#received += bytes;
    const body = this.#body;
    if (body === undefined) {
      this.#end += bytes;
    } else {
      const prelude = this.#prelude as Prelude;
      if (this.#header !== undefined && prelude.payloadChecksum !== undefined)
        this.#payloadChecksum = crc32(body.subarray(this.#filled, this.#filled + bytes), this.#payloadChecksum);
      this.#filled += bytes;
      if (this.#filled < body.byteLength) return;
      this.#body = undefined;
      if (this.#header === undefined) this.#header = { value: decodeHeader(body, prelude) };
      else this.#deliver(prelude, this.#header.value, body);
    }
    while (this.#body === undefined && this.#step());
  }

  /** Copies bytes from another buffer to their targets. */
  feed(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.byteLength; ) {
      const target = this.target();
      const count = Math.min(target.byteLength, chunk.byteLength - at);
      target.set(chunk.subarray(at, at + count));
      this.advance(count);
      at += count;
    }
  }

  /** Reads one part of a frame from the scratch buffer; false if it needs more bytes. */
  #step(): boolean {
    const available = this.#end - this.#start;
    const prelude = this.#prelude;
    if (prelude === undefined) {
      if (available < preludeBytes) return false;
      this.#prelude = decodePrelude(this.#scratch, this.#start, this.#limits);
      this.#start += preludeBytes;
      return true;
    }
    if (this.#header === undefined) {
      const { headerBytes } = prelude;
      if (available >= headerBytes) {
        this.#header = { value: decodeHeader(this.#scratch.subarray(this.#start, this.#start + headerBytes), prelude) };
        this.#start += headerBytes;
        return true;
      }
      // A header that may not fit in the rest of the scratch buffer gets its own buffer.
      if (headerBytes > scratchBytes / 2) this.#startBody(fresh(headerBytes));
      return false;
    }
    const payload = prelude.payloadBytes === 0 ? fresh(0) : this.#pool.acquire(prelude.payloadBytes);
    this.#payloadChecksum = 0;
    this.#startBody(payload);
    if (prelude.payloadChecksum !== undefined) this.#payloadChecksum = crc32(payload.subarray(0, this.#filled));
    if (this.#filled < payload.byteLength) return false;
    this.#body = undefined;
    this.#deliver(prelude, this.#header.value, payload);
    return true;
  }

  /** Copies the bytes of `body` that are already in the scratch buffer; the rest arrives in `body` directly. */
  #startBody(body: Uint8Array<ArrayBuffer>): void {
    const count = Math.min(this.#end - this.#start, body.byteLength);
    body.set(this.#scratch.subarray(this.#start, this.#start + count));
    this.#start += count;
    this.#body = body;
    this.#filled = count;
  }

  #deliver(prelude: Prelude, header: JsonValue, payload: Uint8Array<ArrayBuffer>): void {
    this.#prelude = undefined;
    this.#header = undefined;
    if (prelude.payloadChecksum !== undefined && prelude.payloadChecksum !== this.#payloadChecksum)
      throw frameError("damaged frame: the checksum of the payload differs");
    this.#onFrame({ kind: prelude.kind, epoch: prelude.epoch, sequence: prelude.sequence, header, payload });
  }
}
