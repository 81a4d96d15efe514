import { join } from "node:path";
import { damagedDataset } from "./dataset-error.js";
import { DocumentTable } from "./document-table.js";
import type { PublishedShard } from "./published-dataset.js";

/** The held-out documents of a shard are its first ones, because documents are sorted by the hash that decides. */
export interface ShardSplit {
  readonly heldout: { readonly documents: number; readonly tokens: number };
  readonly train: { readonly documents: number; readonly tokens: number };
}

/** Ids below it are held out. The first 48 bits decide, so a document is in the same part in every dataset. */
const heldOutBound = (fraction: number): string =>
  Math.round(fraction * 2 ** 48)
    .toString(16)
    .padStart(12, "0");

/**
 * Splits a shard by the hash of its documents.
 *
 * @throws LapidaryError LAP_DATA_DATASET if the table does not match the tokens
 */
export function splitShard(root: string, { documents: path, document_count, token_count }: PublishedShard, fraction: number): ShardSplit {
  const table = new DocumentTable(join(root, path), document_count);
  try {
    const documents = table.countBelow(heldOutBound(fraction));
    const tokens = table.tokensOfFirst(documents);
    if (tokens > token_count) throw damagedDataset(join(root, path), `its documents have more than ${token_count} tokens`);
    return {
      heldout: { documents, tokens },
      train: { documents: document_count - documents, tokens: token_count - tokens },
    };
  } finally {
    table.close();
  }
}
