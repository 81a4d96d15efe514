import { randomUUID } from "node:crypto";
import type { DeviceTensor, SharedStagingBuffer, StagingMemory } from "@lapidary/executor";
import type { BufferHandle } from "@lapidary/protocol";

/** The generation of a buffer's content is stored after its blocks. It is 0 while the blocks are written. */
const generationBytes = 8;

const generationOf = (bytes: Uint8Array<ArrayBuffer>): Int32Array =>
  new Int32Array(bytes.buffer, bytes.byteOffset + bytes.byteLength - generationBytes, 1);

/** Size with the generation, which is at a multiple of 4 bytes. */
const sizeWithGeneration = (bytes: number): number => 4 * Math.ceil(bytes / 4) + generationBytes;

/** Memory for a replica of this worker's own blocks, which the neighbour can read. */
export class SharedBuffer {
  readonly id = randomUUID();
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #shared: SharedStagingBuffer;
  readonly #storedGeneration: Int32Array;
  #generation = 0;
  /** The scatter write of the last replica. It is used again for blocks of the same sizes, in bytes. */
  #scatter: { readonly sizes: string; readonly write: (blocks: readonly DeviceTensor[]) => void } | undefined;

  /** @param bytes of the blocks */
  constructor(shared: SharedStagingBuffer, bytes: number) {
    this.#shared = shared;
    this.bytes = shared.bytes.subarray(0, bytes);
    this.#storedGeneration = generationOf(shared.bytes);
  }

  get path(): string {
    return this.#shared.path;
  }

  /** Number of the replica that the buffer holds. */
  get generation(): number {
    return this.#generation;
  }

  /** Writes f32 blocks one after the other. @param sizes of the blocks, in bytes */
  write(blocks: readonly DeviceTensor[], sizes: readonly number[]): void {
    const key = sizes.join();
    if (this.#scatter?.sizes !== key) {
      let begin = 0;
      const staged = sizes.map((bytes) => {
        const block = { segments: { first: begin, length: bytes, counts: [], strides: [] } };
        begin += bytes;
        return block;
      });
      this.#scatter = { sizes: key, write: this.#shared.buffer.bind(staged) };
    }
    // A neighbour that still has the previous replica sees that it is overwritten.
    Atomics.store(this.#storedGeneration, 0, 0);
    this.#scatter.write(blocks);
    this.#generation = (this.#generation % 0x7fffffff) + 1;
    Atomics.store(this.#storedGeneration, 0, this.#generation);
  }

  close(): void {
    this.#shared.buffer.close();
  }
}

/** A neighbour's replica. */
export interface NeighborReplica {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /**
   * Whether the bytes are still those of the replica. Only for a replica in the neighbour's memory: it outlives the neighbour's process, and ends when
   * the neighbour overwrites it.
   */
  readonly isValid?: (() => boolean) | undefined;
}

/** Unused buffers that the pool keeps. It closes the oldest first, because an old buffer may have the size of another layout. */
const maxFree = 2;

/**
 * The shared buffers of this worker, and its views of the neighbour's buffers. Buffers are used again, because new memory costs a page fault for every
 * 4 KiB.
 *
 * A neighbour reads a replica where it was written. So a released buffer waits until the neighbour no longer uses its replica:
 *
 *     replica k       is released                the neighbour may not know this yet
 *     replica k + 1   the neighbour answers      so it has released replica k too
 *     replica k + 2   may overwrite the buffer
 *
 * A worker that is no longer a neighbour may still hold the replica. It sees by the generation that the replica is overwritten.
 */
export class SharedBufferPool {
  readonly #memory: StagingMemory | undefined;
  #free: SharedBuffer[] = [];
  /** Released since the last replica. */
  #released: SharedBuffer[] = [];
  /** Released before the last replica. */
  #expired: SharedBuffer[] = [];
  readonly #used = new Set<SharedBuffer>();
  readonly #views = new Map<string, Uint8Array<ArrayBuffer>>();

  /** @param memory undefined: the pool has no buffers and reads no neighbour's */
  constructor(memory: StagingMemory | undefined) {
    this.#memory = memory;
  }

  get #all(): SharedBuffer[] {
    return [...this.#used, ...this.#released, ...this.#expired, ...this.#free];
  }

  /** A buffer for the next replica. Undefined if the system gives no shared memory. */
  acquire(bytes: number): SharedBuffer | undefined {
    this.#free.push(...this.#expired);
    this.#expired = this.#released;
    this.#released = [];
    const at = this.#free.findIndex((buffer) => buffer.bytes.byteLength === bytes);
    const buffer = at >= 0 ? this.#free.splice(at, 1)[0] : this.#create(bytes);
    while (this.#free.length > maxFree) this.#free.shift()?.close();
    if (buffer !== undefined) this.#used.add(buffer);
    return buffer;
  }

  #create(bytes: number): SharedBuffer | undefined {
    const shared = this.#memory?.share(sizeWithGeneration(bytes));
    return shared === undefined ? undefined : new SharedBuffer(shared, bytes);
  }

  release(buffer: SharedBuffer): void {
    this.#used.delete(buffer);
    this.#released.push(buffer);
  }

  /** The handle that the neighbour gets. @param buffer undefined: the replica is not in shared memory */
  handleFor(buffer: SharedBuffer | undefined): BufferHandle {
    return {
      path: buffer?.path ?? null,
      id: buffer?.id ?? "",
      generation: buffer?.generation ?? 0,
      buffers: this.#all.map(({ id }) => id),
    };
  }

  /** The neighbour's replica. Undefined if this worker cannot read it. */
  read({ path, id, generation, buffers }: BufferHandle, bytes: number): NeighborReplica | undefined {
    for (const known of [...this.#views.keys()]) if (!buffers.includes(known)) this.#views.delete(known);
    if (path === null) return undefined;
    const view = this.#views.get(id) ?? this.#memory?.view(path, sizeWithGeneration(bytes));
    if (view?.byteLength !== sizeWithGeneration(bytes)) return undefined;
    this.#views.set(id, view);
    const stored = generationOf(view);
    const isValid = (): boolean => Atomics.load(stored, 0) === generation;
    return isValid() ? { bytes: view.subarray(0, bytes), isValid } : undefined;
  }

  clear(): void {
    for (const buffer of this.#all) buffer.close();
    this.#used.clear();
    this.#released = [];
    this.#expired = [];
    this.#free = [];
    this.#views.clear();
  }
}
