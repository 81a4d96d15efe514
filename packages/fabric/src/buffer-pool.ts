import { assert } from "@lapidary/std";

/**
 * Buffers that received payloads land in. A fresh buffer costs a page fault for every 4 KiB of it, which is more than
 * receiving the bytes; the steps of a run receive the same sizes again and again, so returned buffers are kept by exact size.
 */
export interface BufferPool {
  /** A buffer of exactly `bytes` bytes at offset 0 of its own ArrayBuffer, with unspecified contents. */
  take(bytes: number): Uint8Array<ArrayBuffer>;
  /** Returns a buffer for reuse. The caller must hold no view of it afterwards. */
  give(buffer: Uint8Array): void;
}

/** Below this size malloc is cheaper than the pool. */
const smallestPooledBytes = 4096;

/** @param keepBytes how many bytes of returned buffers to hold at most; what exceeds it is left to the collector, oldest size first */
export function bufferPool(keepBytes = 256 * 2 ** 20): BufferPool {
  const free = new Map<number, Uint8Array<ArrayBuffer>[]>();
  let held = 0;
  const evict = (): void => {
    for (const [size, buffers] of free) {
      if (held <= keepBytes) return;
      held -= size * buffers.length;
      free.delete(size);
    }
  };
  return {
    take(bytes) {
      const buffers = free.get(bytes);
      const buffer = buffers?.pop();
      if (buffer === undefined) return fresh(bytes);
      held -= bytes;
      // A size in use moves to the end, so that eviction meets forgotten sizes first.
      free.delete(bytes);
      if (buffers !== undefined && buffers.length > 0) free.set(bytes, buffers);
      return buffer;
    },
    give(buffer) {
      const bytes = buffer.byteLength;
      if (bytes < smallestPooledBytes || bytes > keepBytes) return;
      if (!(buffer.buffer instanceof ArrayBuffer) || buffer.buffer.byteLength !== bytes) return;
      const buffers = free.get(bytes) ?? [];
      assert(!buffers.some((kept) => kept.buffer === buffer.buffer), "a buffer is returned to the pool once", bytes);
      buffers.push(new Uint8Array(buffer.buffer));
      free.set(bytes, buffers);
      held += bytes;
      evict();
    },
  };
}

/** A plain (not Buffer) array over memory that was not cleared first. */
export function fresh(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
}
