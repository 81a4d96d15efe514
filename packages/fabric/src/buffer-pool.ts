import { assert } from "@lapidary/std";

/**
 * Buffers for received payloads. A fresh buffer costs a page fault every 4 KiB, which is more than the cost of receiving the
 * bytes. The steps of a run receive the same sizes repeatedly, so the pool keeps returned buffers by exact size.
 */
export interface BufferPool {
  /** A buffer of exactly `bytes` bytes at offset 0 of its own ArrayBuffer, with unspecified contents. */
  acquire(bytes: number): Uint8Array<ArrayBuffer>;
  /** Returns a buffer to the pool. The caller must keep no view of it. */
  release(buffer: Uint8Array): void;
}

/** For smaller sizes, malloc is cheaper than the pool. */
const minPooledBytes = 4096;

/** @param maxFreeBytes maximum bytes of returned buffers in the pool; above it, the least recently used sizes are dropped first */
export function bufferPool(maxFreeBytes = 256 * 2 ** 20): BufferPool {
  const free = new Map<number, Uint8Array<ArrayBuffer>[]>();
  let freeBytes = 0;
  const evict = (): void => {
    for (const [size, buffers] of free) {
      if (freeBytes <= maxFreeBytes) return;
      freeBytes -= size * buffers.length;
      free.delete(size);
    }
  };
  return {
    acquire(bytes) {
      const buffers = free.get(bytes);
      const buffer = buffers?.pop();
      if (buffer === undefined) return fresh(bytes);
      freeBytes -= bytes;
      // Move a used size to the end, so that eviction drops unused sizes first.
      free.delete(bytes);
      if (buffers !== undefined && buffers.length > 0) free.set(bytes, buffers);
      return buffer;
    },
    release(buffer) {
      const bytes = buffer.byteLength;
      if (bytes < minPooledBytes || bytes > maxFreeBytes) return;
      if (!(buffer.buffer instanceof ArrayBuffer) || buffer.buffer.byteLength !== bytes) return;
      const buffers = free.get(bytes) ?? [];
      assert(!buffers.some((kept) => kept.buffer === buffer.buffer), "a buffer is returned to the pool once", bytes);
      buffers.push(new Uint8Array(buffer.buffer));
      free.set(bytes, buffers);
      freeBytes += bytes;
      evict();
    },
  };
}

/** A plain Uint8Array (not a Buffer) over uninitialized memory. */
export function fresh(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
}
