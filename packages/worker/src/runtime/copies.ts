import { LapidaryError, must } from "@lapidary/std";
import type { CopyEntry, CopyName, UpdateCount } from "@lapidary/protocol";
import type { CopyRooms, Room } from "./copy-rooms.js";

/** A worker's blocks at a step, in host memory. */
export interface Copy {
  readonly name: CopyName;
  readonly entries: readonly CopyEntry[];
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Whose memory that is, if this worker shares it. */
  readonly room?: Room | undefined;
  /** Of a copy that lies in another worker's memory: whether it still does. */
  readonly isThere?: (() => boolean) | undefined;
}

/**
 * The copies that a worker process holds of one run: of its own blocks, and of those of the worker before it. They lie outside of the device, and a
 * worker that leaves a gang keeps them if it is told to.
 */
export class Copies {
  #run: string | undefined;
  #copies: Copy[] = [];
  /** Memory of forgotten copies: fresh memory costs a page fault every 4 KiB. */
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  readonly rooms: CopyRooms;

  constructor(rooms: CopyRooms) {
    this.rooms = rooms;
  }

  get names(): CopyName[] {
    this.#forget(isGone);
    return this.#copies.map(({ name }) => name);
  }

  /** From now on copies are of this run; those of another are forgotten. */
  enter(run: string): void {
    if (this.#run === run) return;
    this.clear();
    this.#run = run;
  }

  clear(): void {
    this.#run = undefined;
    this.#copies = [];
    this.#free.length = 0;
    this.rooms.clear();
  }

  /** Memory for a copy. */
  take(bytes: number): Uint8Array<ArrayBuffer> {
    const at = this.#free.findIndex(({ byteLength }) => byteLength === bytes);
    return at < 0 ? new Uint8Array(bytes) : must(this.#free.splice(at, 1)[0], "free memory");
  }

  /** Holds a copy; one of the same blocks at the same step is replaced. */
  add(copy: Copy): void {
    this.#forget((held) => same(held.name, copy.name));
    this.#copies.push(copy);
  }

  /** Forgets what nobody will go back to: all before the newest copy of each worker's blocks that is not above `committed`. */
  prune(committed: UpdateCount): void {
    const newest = new Map<string, number>();
    const owner = ({ worker, workers, mesh }: CopyName): string => `${worker}/${workers}/${mesh}`;
    for (const { name } of this.#copies)
      if (name.step <= committed) newest.set(owner(name), Math.max(name.step, newest.get(owner(name)) ?? 0));
    this.#forget(({ name }) => name.step < (newest.get(owner(name)) ?? 0));
  }

  /** Forgets what was copied behind updates that do not count. */
  forgetAbove(latest: UpdateCount): void {
    this.#forget(({ name }) => name.step > latest);
  }

  /** @throws LAP_WORKER_COPY_UNKNOWN */
  get(name: CopyName): Copy {
    const copy = this.#copies.find((held) => same(held.name, name) && !isGone(held));
    if (copy !== undefined) return copy;
    throw new LapidaryError({
      code: "LAP_WORKER_COPY_UNKNOWN",
      message: `the worker holds no copy of step ${name.step} of worker ${name.worker} of ${name.workers}`,
      place: `step ${name.step}`,
    });
  }

  #forget(which: (copy: Copy) => boolean): void {
    for (const { bytes, room, isThere } of this.#copies.filter(which)) {
      if (room !== undefined) this.rooms.give(room);
      else if (isThere === undefined && this.#free.length < mostFree) this.#free.push(bytes);
    }
    this.#copies = this.#copies.filter((copy) => !which(copy));
  }
}

/** Of one's own blocks, and of a neighbour's. */
const mostFree = 2;

const isGone = ({ isThere }: Copy): boolean => isThere?.() === false;

const same = (a: CopyName, b: CopyName): boolean =>
  a.step === b.step && a.worker === b.worker && a.workers === b.workers && a.mesh === b.mesh;
