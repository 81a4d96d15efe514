import { randomUUID } from "node:crypto";
import type { ImageMemory, SharedImage } from "../device/image-memory.js";
import type { DeviceTensor } from "../device/tfjs.js";

/** What a worker tells its neighbour of a copy: where it may be read until it is answered. */
export interface Offer {
  /** Null: nowhere, it has to be sent. */
  readonly path: string | null;
  /** Of this memory alone: a path may come to mean other memory. */
  readonly id: string;
}

/** Memory for a copy of this worker's own blocks, that its neighbour can read. */
export class Room implements Offer {
  readonly id = randomUUID();
  readonly #shared: SharedImage;
  /** Of the sizes that it was made for, in bytes. */
  #laying: { readonly sizes: string; readonly lay: (blocks: readonly DeviceTensor[]) => void } | undefined;

  constructor(shared: SharedImage) {
    this.#shared = shared;
  }

  get path(): string {
    return this.#shared.path;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#shared.bytes;
  }

  /** Lays f32 blocks one behind the other. @param sizes of them, in bytes */
  lay(blocks: readonly DeviceTensor[], sizes: readonly number[]): void {
    const key = sizes.join();
    if (this.#laying?.sizes !== key) {
      let begin = 0;
      const places = sizes.map((bytes) => {
        const place = { begin, runs: { offset: 0, length: bytes / 4, sizes: [], strides: [] } };
        begin += bytes;
        return place;
      });
      this.#laying = { sizes: key, lay: this.#shared.image.bind(places) };
    }
    this.#laying.lay(blocks);
  }

  close(): void {
    this.#shared.image.close();
  }
}

/** Of the worker before this one, which may be replaced. */
const mostViews = 4;

/** Rooms that wait to be used again: what another layout wanted goes at last. */
const mostFree = 2;

/** Rooms that are used again: fresh memory costs a page fault every 4 KiB. And memory of the neighbour's rooms. */
export class CopyRooms {
  readonly #memory: ImageMemory | undefined;
  #free: Room[] = [];
  readonly #views = new Map<string, Uint8Array<ArrayBuffer>>();

  /** @param memory without it there are no rooms, and nothing can be read */
  constructor(memory: ImageMemory | undefined) {
    this.#memory = memory;
  }

  /** Undefined where the system gives none. */
  take(bytes: number): Room | undefined {
    const at = this.#free.findIndex((room) => room.bytes.byteLength === bytes);
    if (at >= 0) return this.#free.splice(at, 1)[0];
    const shared = this.#memory?.share(bytes);
    return shared === undefined ? undefined : new Room(shared);
  }

  give(room: Room): void {
    this.#free.push(room);
    while (this.#free.length > mostFree) this.#free.shift()?.close();
  }

  /** The neighbour's copy; undefined where it cannot be read. */
  read({ path, id }: Offer, bytes: number): Uint8Array<ArrayBuffer> | undefined {
    if (path === null) return undefined;
    const known = this.#views.get(id) ?? this.#memory?.view(path, bytes);
    if (known === undefined) return undefined;
    this.#views.set(id, known);
    for (const oldest of [...this.#views.keys()].slice(0, -mostViews)) this.#views.delete(oldest);
    return known.byteLength === bytes ? known : undefined;
  }

  clear(): void {
    for (const room of this.#free) room.close();
    this.#free = [];
    this.#views.clear();
  }
}
