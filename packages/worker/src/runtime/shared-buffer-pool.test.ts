import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { DeviceTensor, SharedStagingBuffer, StagingMemory } from "@lapidary/executor";
import { ensure } from "@lapidary/std";
import { type SharedBuffer, SharedBufferPool } from "./shared-buffer-pool.js";

/** Memory of this process in place of shared memory. `onWrite` is called in the middle of a scatter write. */
class FakeMemory {
  readonly files = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly closed: string[] = [];
  readonly staged: unknown[] = [];
  onWrite: () => void = () => undefined;

  share(bytes: number): SharedStagingBuffer {
    const path = `memory-${this.files.size}`;
    const memory = new Uint8Array(bytes);
    this.files.set(path, memory);
    const buffer = {
      bind: (staged: unknown) => {
        this.staged.push(staged);
        return () => {
          this.onWrite();
          return [];
        };
      },
      close: () => this.closed.push(path),
    };
    return { path, bytes: memory, buffer } as unknown as SharedStagingBuffer;
  }

  view(path: string, bytes: number): Uint8Array<ArrayBuffer> | undefined {
    const memory = this.files.get(path);
    return memory?.byteLength === bytes ? memory : undefined;
  }
}

const poolOf = (memory: FakeMemory): SharedBufferPool => new SharedBufferPool(memory as unknown as StagingMemory);
const acquired = (pool: SharedBufferPool, bytes: number): SharedBuffer => ensure(pool.acquire(bytes), "buffer");
const blocks: readonly DeviceTensor[] = [];

describe("shared buffers of replicas", () => {
  it("a buffer has space for its blocks and, after them at a multiple of 4 bytes, for the generation", () => {
    const memory = new FakeMemory();
    const pool = poolOf(memory);
    for (const bytes of [4, 5, 8]) acquired(pool, bytes);
    deepStrictEqual(
      [...memory.files.values()].map(({ byteLength }) => byteLength),
      [12, 16, 16],
    );
    strictEqual(acquired(pool, 5).bytes.byteLength, 5);
  });

  it("the generation is 0 while the blocks are written, and the number of the replica afterwards", () => {
    const memory = new FakeMemory();
    const [owner, neighbour] = [poolOf(memory), poolOf(memory)];
    const buffer = acquired(owner, 8);
    buffer.write(blocks, [4, 4]);
    const first = ensure(neighbour.read(owner.handleFor(buffer), 8), "replica");
    const before = owner.handleFor(buffer);
    const seen: (boolean | undefined)[] = [];
    memory.onWrite = () => void seen.push(first.isValid?.(), neighbour.read(before, 8) === undefined);
    strictEqual(first.isValid?.(), true);
    buffer.write(blocks, [4, 4]);
    deepStrictEqual(seen, [false, true]);
    strictEqual(first.isValid?.(), false);
    deepStrictEqual([before.generation, buffer.generation], [1, 2]);
    strictEqual(neighbour.read(before, 8), undefined);
    strictEqual(neighbour.read(owner.handleFor(buffer), 8)?.isValid?.(), true);
  });

  it("blocks are written one after the other, by one scatter write as long as their sizes are equal", () => {
    const memory = new FakeMemory();
    const buffer = acquired(poolOf(memory), 12);
    const segments = (first: number, length: number): object => ({ segments: { first, length, counts: [], strides: [] } });
    buffer.write(blocks, [4, 8]);
    buffer.write(blocks, [4, 8]);
    buffer.write(blocks, [8, 4]);
    deepStrictEqual(memory.staged, [
      [segments(0, 4), segments(4, 8)],
      [segments(0, 8), segments(8, 4)],
    ]);
  });

  it("a released buffer is used again for the second replica after the release, and only for the same size", () => {
    const pool = poolOf(new FakeMemory());
    const first = acquired(pool, 8);
    pool.release(first);
    const second = acquired(pool, 8);
    strictEqual(second === first, false);
    pool.release(second);
    strictEqual(acquired(pool, 12) === first, false);
    strictEqual(acquired(pool, 8), first);
  });

  it("the pool keeps two unused buffers, and closes the oldest first", () => {
    const memory = new FakeMemory();
    const pool = poolOf(memory);
    for (const bytes of [4, 8, 12, 16]) pool.release(acquired(pool, bytes));
    deepStrictEqual(memory.closed, []);
    // Now the buffers of 4, 8 and 12 bytes are free, and the next replica frees that of 16 bytes.
    acquired(pool, 20);
    deepStrictEqual(memory.closed, ["memory-0"]);
    acquired(pool, 24);
    deepStrictEqual(memory.closed, ["memory-0", "memory-1"]);
  });

  it("a handle names the path, the id and the generation of a buffer, and all buffers that the pool has", () => {
    const pool = poolOf(new FakeMemory());
    const [first, second] = [acquired(pool, 8), acquired(pool, 8)];
    second.write(blocks, [8]);
    deepStrictEqual(pool.handleFor(second), { path: "memory-1", id: second.id, generation: 1, buffers: [first.id, second.id] });
    pool.release(first);
    deepStrictEqual(pool.handleFor(undefined), { path: null, id: "", generation: 0, buffers: [second.id, first.id] });
  });

  it("a worker opens a buffer once, forgets it when the neighbour has it no more, and reads no buffer of another size", () => {
    const memory = new FakeMemory();
    const [owner, neighbour] = [poolOf(memory), poolOf(memory)];
    const buffer = acquired(owner, 8);
    buffer.write(blocks, [8]);
    const handle = owner.handleFor(buffer);
    strictEqual(neighbour.read(handle, 8)?.bytes.byteLength, 8);
    memory.files.clear();
    strictEqual(neighbour.read(handle, 8)?.bytes.byteLength, 8);
    strictEqual(neighbour.read(handle, 12), undefined);
    strictEqual(neighbour.read({ ...handle, buffers: [] }, 8), undefined);
    strictEqual(neighbour.read(handle, 8), undefined);
  });

  it("a cleared pool closes all its buffers, and a pool without memory has none", () => {
    const memory = new FakeMemory();
    const pool = poolOf(memory);
    const released = acquired(pool, 8);
    pool.release(released);
    acquired(pool, 8);
    pool.clear();
    deepStrictEqual(memory.closed.sort(), ["memory-0", "memory-1"]);
    deepStrictEqual(pool.handleFor(undefined).buffers, []);
    const none = new SharedBufferPool(undefined);
    strictEqual(none.acquire(8), undefined);
    strictEqual(none.read({ path: "x", id: "y", generation: 1, buffers: ["y"] }, 8), undefined);
  });
});
