import { createReadStream } from "node:fs";
import { Account, type AccountCounts } from "@lapidary/data-store";
import { assert } from "@lapidary/std";
import { nodeBytes, numberAt, putNumber, type RecordFile } from "@lapidary/records";

/**
 * The place of a document among all shards: 24 bits for the shard and 24 for the row. What one shard scatters has rows alone, so that it does not depend on
 * the other shards.
 */
export const rowBytes = 3;
export const placeBytes = nodeBytes;
const shardBytes = placeBytes - rowBytes;

/** Adds the shard before the row at `at`: the next three bytes. */
export const putShard = (bytes: Uint8Array, at: number, shard: number): void => putNumber(bytes, at, shardBytes, shard);
export const shardAt = (bytes: Uint8Array, at: number): number => numberAt(bytes, at, shardBytes);
export const rowAt = (bytes: Uint8Array, at: number): number => numberAt(bytes, at + shardBytes, rowBytes);
export function putRow(bytes: Uint8Array, at: number, row: number): void {
  assert(row < 2 ** 24, "a shard has at most 2²⁴ documents", row);
  putNumber(bytes, at, rowBytes, row);
}

/** Calls `visit` with each record of a stream of bytes. */
export async function forEachRecord(
  chunks: AsyncIterable<Buffer>,
  width: number,
  visit: (bytes: Uint8Array, at: number) => void,
): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    for (; at + width <= bytes.length; at += width) visit(bytes, at);
    rest = bytes.subarray(at);
  }
  assert(rest.length === 0, "a part has whole records", rest.length, width);
}

/** The partition of a key: keys are hashes, so their first two bytes are uniform. */
const partitionAt = (bytes: Uint8Array, at: number, partitions: number): number =>
  Math.floor((numberAt(bytes, at, 2) * partitions) / 2 ** 16);

/** The records of a sorted file in partitions of their first two bytes, in order. */
export async function* partitioned(file: RecordFile, partitions: number): AsyncGenerator<AsyncGenerator<Buffer>> {
  yield* dealt(file, partitions, (bytes, at) => partitionAt(bytes, at, partitions));
}

/** The records of a sorted file in parts, in order: `partOf` never decreases. */
async function* dealt(
  { path, width, count: records }: RecordFile,
  parts: number,
  partOf: (bytes: Uint8Array, at: number) => number,
): AsyncGenerator<AsyncGenerator<Buffer>> {
  const ends = Array.from({ length: parts }, () => 0);
  let [count, last] = [0, 0];
  await forEachRecord(bytesOf(path, 0, records * width), width, (bytes, at) => {
    const part = partOf(bytes, at);
    assert(part >= last && part < parts, "parts are in the order of the records", part, last);
    for (; last < part; last++) ends[last] = count;
    count++;
  });
  for (; last < parts; last++) ends[last] = count;
  for (const [part, end] of ends.entries()) yield bytesOf(path, (ends[part - 1] ?? 0) * width, end * width);
}

/** The part of what a gather wrote that has the records of a shard. One object for each shard would be too many for a large corpus. */
export const partOfShard = (shard: number, shards: number): number => Math.floor((shard * partsOfShards(shards)) / shards);
const partsOfShards = (shards: number): number => Math.min(shards, 4096);

/** The partition of a place among partitions of consecutive shards. */
export const partitionOfShard = (shard: number, shards: number, partitions: number): number => Math.floor((shard * partitions) / shards);

/** The records of a sorted file, which begin with a place, in partitions of places. */
export const dealtToPlaces = (file: RecordFile, shards: number, partitions: number): AsyncGenerator<AsyncGenerator<Buffer>> =>
  dealt(file, partitions, (bytes, at) => partitionOfShard(shardAt(bytes, at), shards, partitions));

/** The account of a step that no document passes. */
export const noDocuments = (partition: number): AccountCounts => new Account().counts(`partition ${partition}`);

/** The records of a file as the only part of an object. */
export const recordBytes = ({ path, width, count }: RecordFile): AsyncGenerator<Buffer> => bytesOf(path, 0, count * width);

/** Bytes [start, end) of a file. */
async function* bytesOf(path: string, start: number, end: number): AsyncGenerator<Buffer> {
  if (start === end) return;
  for await (const chunk of createReadStream(path, { start, end: end - 1 })) yield chunk as Buffer;
}

/** Records that begin with a place, in parts by shard. */
export const dealtToShards = (file: RecordFile, shards: number): AsyncGenerator<AsyncGenerator<Buffer>> =>
  dealt(file, partsOfShards(shards), (bytes, at) => partOfShard(shardAt(bytes, at), shards));
