import { sizeOf } from "@lapidary/ir";
import { type CopyEntry, type CopyMessage, type CopyName, blockDimsOf, bytesOfNumbers, workerRank } from "@lapidary/protocol";
import { must } from "@lapidary/std";
import type { Copies } from "./copies.js";
import type { Reading } from "./copy-rooms.js";
import { giveCopy } from "./give-copy.js";
import { type Membership, ownBlock } from "./membership.js";

/**
 * Keeps a replica of this worker's blocks of some arrays, and exchanges replicas with the neighbours.
 *
 * @returns the bytes of this worker's blocks
 */
export async function replicate(member: Membership, message: CopyMessage, copies: Copies): Promise<number> {
  const { values, executor, configuration, peers, worker } = member;
  const { workers, mesh } = configuration;
  const { step } = message;
  const entries: CopyEntry[] = [];
  let size = 0;
  for (const id of message.values) {
    const { tensor } = values.get(id);
    const bytes = 4 * sizeOf(blockDimsOf(ownBlock(member, tensor)));
    entries.push({ tensor, begin: size, bytes });
    size += bytes;
  }
  // Values of the chipwise executor are in many pieces, and shared memory takes only numbers of f32.
  const isShared = configuration.executor === "stacked" && entries.every(({ tensor }) => tensor.dtype === "f32");
  const room = isShared ? copies.rooms.take(size) : undefined;
  const bytes = room?.bytes ?? copies.take(size);
  if (room !== undefined)
    room.lay(
      entries.map(({ tensor }) => must(values.get(tensor.id).held[0], tensor.id)),
      entries.map((entry) => entry.bytes),
    );
  else for (const { tensor, begin } of entries) bytes.set(bytesOfNumbers(executor.fetch(values.get(tensor.id).held, tensor).data), begin);
  const own: CopyName = { step, worker, workers, mesh };
  if (peers !== undefined) {
    const [next, previous] = [(worker + 1) % workers, (worker + workers - 1) % workers];
    let theirs: Reading;
    try {
      theirs = await giveCopy({ peers, next, previous, tag: `copy/${step}`, bytes, room, copies });
    } catch (error) {
      // The memory has no valid replica: the next one may use it.
      if (room !== undefined) copies.rooms.give(room);
      throw error;
    }
    // The same arrays under the same shardings: the blocks of all workers have one size.
    copies.add({ name: { ...own, worker: workerRank(previous) }, entries, ...theirs });
  }
  copies.add({ name: own, entries, bytes, room });
  copies.prune(message.committed);
  return size;
}
