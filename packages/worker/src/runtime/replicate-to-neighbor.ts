import type { Peers } from "@lapidary/fabric";
import { type BufferHandle, decodeBufferHandle, encodeBufferHandle } from "@lapidary/protocol";
import { type JsonValue, assert, ensure } from "@lapidary/std";
import type { NeighborReplica, SharedBuffer, SharedBufferPool } from "./shared-buffer-pool.js";

export interface NeighborOptions {
  readonly peers: Peers;
  /** Rank of the worker that receives this worker's replica. */
  readonly next: number;
  /** Rank of the worker whose replica this worker receives. */
  readonly previous: number;
  /** Unique to this replica. */
  readonly tag: string;
  /** This worker's blocks. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The buffer of `bytes`, if it is in shared memory. */
  readonly buffer: SharedBuffer | undefined;
  readonly buffers: SharedBufferPool;
}

/**
 * Sends a replica to the next worker and receives that of the previous one. All workers do this at the same time.
 *
 *     handle   ──► next          the shared buffer of the replica
 *     answer   ──► previous      whether the receiver can read it
 *     bytes    ──► next          only if the receiver cannot
 *
 * @returns the replica of the previous worker, in its shared memory or in this worker's own memory
 */
export async function replicateToNeighbor(options: NeighborOptions): Promise<NeighborReplica> {
  const { peers, next, previous, tag, bytes, buffer, buffers } = options;
  const handles = await peers.exchange(`${tag}/offer`, new Map([[next, encode(buffers.handleFor(buffer))]]), [previous]);
  const readable = buffers.read(decode(ensure(handles.get(previous), "buffer handle"), previous), bytes.byteLength);
  const answers = await peers.exchange(`${tag}/answer`, new Map([[previous, Uint8Array.of(readable === undefined ? 0 : 1)]]), [next]);
  const nextReads = ensure(answers.get(next), "answer")[0] === 1;
  if (nextReads && readable !== undefined) return readable;
  const received = await peers.exchange(
    `${tag}/bytes`,
    new Map(nextReads ? [] : [[next, bytes]]),
    readable === undefined ? [previous] : [],
  );
  if (readable !== undefined) return readable;
  const replica = ensure(received.get(previous), "replica") as Uint8Array<ArrayBuffer>;
  assert(replica.byteLength === bytes.byteLength, "blocks of all workers have one size", replica.byteLength, bytes.byteLength);
  return { bytes: replica };
}

const encode = (handle: BufferHandle): Uint8Array => Buffer.from(JSON.stringify(encodeBufferHandle(handle)), "utf8");

/** The hello between workers has no build, because one coordinator has started or taken over all of them. */
const decode = (bytes: Uint8Array, previous: number): BufferHandle =>
  decodeBufferHandle(JSON.parse(Buffer.from(bytes).toString("utf8")) as JsonValue, { name: `worker ${previous}`, build: "unknown" });
