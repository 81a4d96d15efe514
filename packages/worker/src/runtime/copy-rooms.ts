import { randomUUID } from "node:crypto";
import type { DeviceTensor, ImageMemory, SharedImage } from "@lapidary/executor";
import type { CopyOffer } from "@lapidary/protocol";

/** Behind the blocks of a room stands which copy they are: 0 while they are being laid. */
const stampBytes = 8;

const stampOf = (bytes: Uint8Array<ArrayBuffer>): Int32Array =>
  new Int32Array(bytes.buffer, bytes.byteOffset + bytes.byteLength - stampBytes, 1);

/** Stamps stand at a multiple of 4 bytes. */
const roomBytes = (bytes: number): number => 4 * Math.ceil(bytes / 4) + stampBytes;

/** Memory for a copy of this worker's own blocks, that its neighbour can read. */
export class Room {
  readonly id = randomUUID();
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #shared: SharedImage;
  readonly #stamp: Int32Array;
  #layings = 0;
  /** Of the sizes that it was made for, in bytes. */
  #laying: { readonly sizes: string; readonly lay: (blocks: readonly DeviceTensor[]) => void } | undefined;

  /** @param bytes of the blocks */
  constructor(shared: SharedImage, bytes: number) {
    this.#shared = shared;
    this.bytes = shared.bytes.subarray(0, bytes);
    this.#stamp = stampOf(shared.bytes);
  }

  get path(): string {
    return this.#shared.path;
  }

  /** Of the copy that it holds. */
  get laying(): number {
    return this.#layings;
  }

  /** Lays f32 blocks one behind the other. @param sizes of them, in bytes */
  lay(blocks: readonly DeviceTensor[], sizes: readonly number[]): void {
    const key = sizes.join();
    if (this.#laying?.sizes !== key) {
      let begin = 0;
      const places = sizes.map((bytes) => {
        const block = { segments: { first: begin, length: bytes, counts: [], strides: [] } };
        begin += bytes;
        return block;
      });
      this.#laying = { sizes: key, lay: this.#shared.image.bind(places) };
    }
    // Whoever still reads what lay here sees that it is gone.
    Atomics.store(this.#stamp, 0, 0);
    this.#laying.lay(blocks);
    this.#layings = (this.#layings % 0x7fffffff) + 1;
    Atomics.store(this.#stamp, 0, this.#layings);
  }

  close(): void {
    this.#shared.image.close();
  }
}

/** A neighbour's copy. */
export interface Reading {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where the neighbour has laid it, it outlives that process, and goes when that process lays another in its place: whether it still lies there. */
  readonly isThere?: (() => boolean) | undefined;
}

/** Rooms that wait to be used again: what another layout wanted goes at last. */
const mostFree = 2;

/**
 * Rooms that are used again, for fresh memory costs a page fault every 4 KiB; and memory of the neighbour's rooms.
 *
 * A neighbour keeps a copy where it lies. A room that is given back rests until the neighbour has surely forgotten what lies in it:
 *
 *     copy k       given back: nobody goes back to it          the neighbour may not have heard of that yet
 *     copy k + 1   the neighbour answers                       so it is done with copy k, and has forgotten the same
 *     copy k + 2   may be laid in
 *
 * Should a worker that is no neighbour any more hold on to it, its stamp tells.
 */
export class CopyRooms {
  readonly #memory: ImageMemory | undefined;
  #free: Room[] = [];
  /** Given back since the last copy, and before that. */
  #resting: Room[] = [];
  #rested: Room[] = [];
  readonly #used = new Set<Room>();
  readonly #views = new Map<string, Uint8Array<ArrayBuffer>>();

  /** @param memory without it there are no rooms, and nothing can be read */
  constructor(memory: ImageMemory | undefined) {
    this.#memory = memory;
  }

  get #all(): Room[] {
    return [...this.#used, ...this.#resting, ...this.#rested, ...this.#free];
  }

  /** For the next copy. Undefined where the system gives none. */
  take(bytes: number): Room | undefined {
    this.#free.push(...this.#rested);
    this.#rested = this.#resting;
    this.#resting = [];
    const at = this.#free.findIndex((room) => room.bytes.byteLength === bytes);
    const room = at >= 0 ? this.#free.splice(at, 1)[0] : this.#make(bytes);
    while (this.#free.length > mostFree) this.#free.shift()?.close();
    if (room !== undefined) this.#used.add(room);
    return room;
  }

  #make(bytes: number): Room | undefined {
    const shared = this.#memory?.share(roomBytes(bytes));
    return shared === undefined ? undefined : new Room(shared, bytes);
  }

  give(room: Room): void {
    this.#used.delete(room);
    this.#resting.push(room);
  }

  /** What the neighbour is told of a copy. @param room undefined: it lies in no room */
  offer(room: Room | undefined): CopyOffer {
    return { path: room?.path ?? null, id: room?.id ?? "", laying: room?.laying ?? 0, rooms: this.#all.map(({ id }) => id) };
  }

  /** The neighbour's copy; undefined where it cannot be read. */
  read({ path, id, laying, rooms }: CopyOffer, bytes: number): Reading | undefined {
    for (const known of [...this.#views.keys()]) if (!rooms.includes(known)) this.#views.delete(known);
    if (path === null) return undefined;
    const view = this.#views.get(id) ?? this.#memory?.view(path, roomBytes(bytes));
    if (view?.byteLength !== roomBytes(bytes)) return undefined;
    this.#views.set(id, view);
    const stamp = stampOf(view);
    const isThere = (): boolean => Atomics.load(stamp, 0) === laying;
    return isThere() ? { bytes: view.subarray(0, bytes), isThere } : undefined;
  }

  clear(): void {
    for (const room of this.#all) room.close();
    this.#used.clear();
    this.#resting = [];
    this.#rested = [];
    this.#free = [];
    this.#views.clear();
  }
}
