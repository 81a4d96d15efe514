import { LapidaryError, ensure } from "@lapidary/std";
import type { ReplicaEntry, ReplicaName, UpdateCount } from "@lapidary/protocol";
import type { NeighborReplica, SharedBuffer, SharedBufferPool } from "./shared-buffer-pool.js";

/** The blocks of a worker after some updates, in host memory. */
export interface Replica extends NeighborReplica {
  readonly name: ReplicaName;
  readonly entries: readonly ReplicaEntry[];
  /** The buffer of `bytes`, if this worker shares it. */
  readonly buffer?: SharedBuffer | undefined;
}

/**
 * The replicas of one run that a worker process holds: of its own blocks, and of those of the previous worker. They are not in device memory. A worker
 * that leaves its group keeps them if the coordinator asks for it.
 */
export class ReplicaStore {
  #run: string | undefined;
  #replicas: Replica[] = [];
  /** Memory of removed replicas. It is used again, because new memory costs a page fault for every 4 KiB. */
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  readonly buffers: SharedBufferPool;

  constructor(buffers: SharedBufferPool) {
    this.buffers = buffers;
  }

  get names(): ReplicaName[] {
    this.#remove(isInvalid);
    return this.#replicas.map(({ name }) => name);
  }

  /** Sets the run of later replicas. Replicas of another run are removed. */
  enter(run: string): void {
    if (this.#run === run) return;
    this.clear();
    this.#run = run;
  }

  clear(): void {
    this.#run = undefined;
    this.#replicas = [];
    this.#free.length = 0;
    this.buffers.clear();
  }

  /** Private memory for a replica. */
  allocate(bytes: number): Uint8Array<ArrayBuffer> {
    const at = this.#free.findIndex(({ byteLength }) => byteLength === bytes);
    return at < 0 ? new Uint8Array(bytes) : ensure(this.#free.splice(at, 1)[0], "free memory");
  }

  /** Adds a replica. It replaces one of the same name. */
  add(replica: Replica): void {
    this.#remove((held) => same(held.name, replica.name));
    this.#replicas.push(replica);
  }

  /** Removes what a recovery cannot need: for each owner, all replicas before its newest one of at most `committed` updates. */
  prune(committed: UpdateCount): void {
    const newest = new Map<string, number>();
    const owner = ({ worker, workers, mesh }: ReplicaName): string => `${worker}/${workers}/${mesh}`;
    for (const { name } of this.#replicas)
      if (name.step <= committed) newest.set(owner(name), Math.max(name.step, newest.get(owner(name)) ?? 0));
    this.#remove(({ name }) => name.step < (newest.get(owner(name)) ?? 0));
  }

  /** Removes replicas of more updates than `latest`, because such updates do not count. */
  removeAbove(latest: UpdateCount): void {
    this.#remove(({ name }) => name.step > latest);
  }

  /** @throws LAP_WORKER_COPY_UNKNOWN */
  get(name: ReplicaName): Replica {
    const replica = this.#replicas.find((held) => same(held.name, name) && !isInvalid(held));
    if (replica !== undefined) return replica;
    throw new LapidaryError({
      code: "LAP_WORKER_COPY_UNKNOWN",
      message: `the worker has no replica of step ${name.step} of worker ${name.worker} of ${name.workers}`,
      location: `step ${name.step}`,
    });
  }

  #remove(which: (replica: Replica) => boolean): void {
    for (const { bytes, buffer, isValid } of this.#replicas.filter(which)) {
      if (buffer !== undefined) this.buffers.release(buffer);
      else if (isValid === undefined && this.#free.length < maxFree) this.#free.push(bytes);
    }
    this.#replicas = this.#replicas.filter((replica) => !which(replica));
  }
}

/** One for a replica of the own blocks, and one for a replica of the neighbour's blocks. */
const maxFree = 2;

const isInvalid = ({ isValid }: Replica): boolean => isValid?.() === false;

const same = (a: ReplicaName, b: ReplicaName): boolean =>
  a.step === b.step && a.worker === b.worker && a.workers === b.workers && a.mesh === b.mesh;
