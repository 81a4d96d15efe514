import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { damagedDataset, unreadable } from "./dataset-error.js";
import { type BytesPerId, type PublishedDataset, type PublishedShard, readPublished } from "./published-dataset.js";
import { describeShard, recordBytes } from "./shard.js";

/**
 * Reads every byte of a dataset, and compares sizes and digests with `dataset.json`.
 *
 * @throws LapidaryError LAP_DATA_MISSING, LAP_DATA_DATASET with the file that differs
 */
export async function verifyPublished(root: string): Promise<PublishedDataset> {
  const dataset = readPublished(root);
  checkTokenizerFile(root, dataset);
  for (const { shards } of Object.values(dataset.sources))
    for (const shard of shards) {
      checkShardSizes(root, shard, dataset.bytes_per_id);
      const found = await describeShard(root, shard, dataset.bytes_per_id);
      if (found.sha256 !== shard.sha256)
        throw damagedDataset(join(root, shard.tokens), `the digest of the shard is ${found.sha256}, not ${shard.sha256}`);
    }
  return dataset;
}

/** @throws LapidaryError LAP_DATA_DATASET */
export function checkTokenizerFile(root: string, { tokenizer }: PublishedDataset): void {
  const path = join(root, tokenizer.file);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found !== tokenizer.sha256) throw damagedDataset(path, `the digest of the tokenizer is ${found}, not ${tokenizer.sha256}`);
}

/** Compares sizes alone: a file that is missing or truncated. @throws LapidaryError LAP_DATA_DATASET */
export function checkShardSizes(root: string, shard: PublishedShard, bytesPerId: BytesPerId): void {
  checkSize(join(root, shard.tokens), shard.token_count * bytesPerId);
  checkSize(join(root, shard.documents), shard.document_count * recordBytes);
}

function checkSize(path: string, expected: number): void {
  let size: number;
  try {
    ({ size } = statSync(path));
  } catch (error) {
    throw unreadable(path, error);
  }
  if (size !== expected) throw damagedDataset(path, `it has ${size} bytes, not ${expected}`);
}
