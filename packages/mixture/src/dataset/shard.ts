import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { assert, ensure } from "@lapidary/std";
import { unreadable } from "./dataset-error.js";
import type { BytesPerId, PublishedShard } from "./published-dataset.js";

/** A document of a shard. */
export interface ShardDocument {
  /** 32 bytes. */
  readonly id: Uint8Array;
  /** The ids of its tokens. The first is that of BOS if the tokenizer has it. The last is that of EOS, and only the last. */
  readonly ids: ArrayLike<number>;
}

/** Bytes of a record in a table of documents. */
export const recordBytes = 36;

/** The two files of a shard, and its entry in the dataset without their paths. */
export interface EncodedShard {
  readonly tokens: Uint8Array;
  readonly documents: Uint8Array;
  readonly entry: Omit<PublishedShard, "tokens" | "documents">;
}

/**
 * The bytes of a shard. Documents are sorted by id, so the bytes do not depend on their order.
 *
 *     tokens      BOS, ids of document 0, EOS, BOS, ids of document 1, EOS, …   little-endian, 2 or 4 bytes an id
 *     documents   id of document 0 (32 bytes), number of its tokens (u32, BOS and EOS included), id of document 1, …
 */
export function encodeShard(documents: readonly ShardDocument[], bytesPerId: BytesPerId): EncodedShard {
  const sorted = documents.toSorted((a, b) => Buffer.compare(a.id, b.id));
  const count = sorted.reduce((sum, { ids }) => sum + ids.length, 0);
  const tokens = Buffer.alloc(count * bytesPerId);
  const table = Buffer.alloc(sorted.length * recordBytes);
  let at = 0;
  for (const [number, { id, ids }] of sorted.entries()) {
    assert(id.length === 32, "the id of a document has 32 bytes", id.length);
    table.set(id, number * recordBytes);
    table.writeUInt32LE(ids.length, number * recordBytes + 32);
    for (let i = 0; i < ids.length; i++, at += bytesPerId) tokens.writeUIntLE(ensure(ids[i], "id of a token"), at, bytesPerId);
  }
  const sha256 = createHash("sha256").update(tokens).update(table).digest("hex");
  return { tokens, documents: table, entry: { token_count: count, document_count: sorted.length, sha256 } };
}

/**
 * The entry of a shard whose files exist, such as the parts of a stored object.
 *
 * @param root the directory of the dataset
 * @throws LapidaryError LAP_DATA_DATASET if a file is missing
 */
export async function describeShard(
  root: string,
  paths: Pick<PublishedShard, "tokens" | "documents">,
  bytesPerId: BytesPerId,
): Promise<PublishedShard> {
  const hash = createHash("sha256");
  const tokens = await addFile(hash, join(root, paths.tokens));
  const documents = await addFile(hash, join(root, paths.documents));
  return {
    ...paths,
    token_count: tokens / bytesPerId,
    document_count: documents / recordBytes,
    sha256: hash.digest("hex"),
  };
}

/** @returns the bytes of the file */
async function addFile(hash: ReturnType<typeof createHash>, path: string): Promise<number> {
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  return bytes;
}
