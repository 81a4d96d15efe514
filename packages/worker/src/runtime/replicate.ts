import { sizeOf } from "@lapidary/ir";
import { type ReplicaEntry, type ReplicateMessage, type ReplicaName, blockDimsOf, bytesOfNumbers, workerRank } from "@lapidary/protocol";
import { ensure } from "@lapidary/std";
import type { ReplicaStore } from "./replica-store.js";
import { replicateToNeighbor } from "./replicate-to-neighbor.js";
import type { NeighborReplica } from "./shared-buffer-pool.js";
import { type Membership, ownBlock } from "./membership.js";

/**
 * Keeps a replica of this worker's blocks of some arrays, and exchanges replicas with the neighbours.
 *
 * @returns the bytes of this worker's blocks
 */
export async function replicate(member: Membership, message: ReplicateMessage, replicas: ReplicaStore): Promise<number> {
  const { values, executor, configuration, peers, worker } = member;
  const { workers, mesh } = configuration;
  const { step } = message;
  const entries: ReplicaEntry[] = [];
  let size = 0;
  for (const id of message.values) {
    const { tensor } = values.get(id);
    const bytes = 4 * sizeOf(blockDimsOf(ownBlock(member, tensor)));
    entries.push({ tensor, begin: size, bytes });
    size += bytes;
  }
  // A value of the chipwise executor has several tensors, and the scatter write takes only f32.
  const isShared = configuration.executor === "stacked" && entries.every(({ tensor }) => tensor.dtype === "f32");
  const buffer = isShared ? replicas.buffers.acquire(size) : undefined;
  const bytes = buffer?.bytes ?? replicas.allocate(size);
  if (buffer !== undefined)
    buffer.write(
      entries.map(({ tensor }) => ensure(values.get(tensor.id).held[0], tensor.id)),
      entries.map((entry) => entry.bytes),
    );
  else for (const { tensor, begin } of entries) bytes.set(bytesOfNumbers(executor.fetch(values.get(tensor.id).held, tensor).data), begin);
  const own: ReplicaName = { step, worker, workers, mesh };
  if (peers !== undefined) {
    const [next, previous] = [(worker + 1) % workers, (worker + workers - 1) % workers];
    let theirs: NeighborReplica;
    try {
      theirs = await replicateToNeighbor({ peers, next, previous, tag: `copy/${step}`, bytes, buffer, buffers: replicas.buffers });
    } catch (error) {
      // The buffer has no valid replica, so the next one may use it.
      if (buffer !== undefined) replicas.buffers.release(buffer);
      throw error;
    }
    // The same arrays under the same shardings: the blocks of all workers have one size.
    replicas.add({ name: { ...own, worker: workerRank(previous) }, entries, ...theirs });
  }
  replicas.add({ name: own, entries, bytes, buffer });
  replicas.prune(message.committed);
  return size;
}
