import { join } from "node:path";
import { DocumentTable } from "@lapidary/mixture";
import { ensure } from "@lapidary/std";
import type { SplitName } from "../dataset/manifest.js";
import type { MixtureDataset } from "./mixture-dataset.js";
import { rowsOfTokens } from "./source-stream.js";

/** A document of a source, and where its tokens are in the stream of its split. */
export interface PlacedDocument {
  /** In hex. */
  readonly id: string;
  /** Index of the source. */
  readonly source: number;
  readonly split: SplitName;
  readonly start: number;
  /** EOS included. */
  readonly tokens: number;
}

/** A row of training that has tokens of a document. */
export interface DocumentRow {
  /** Number of the batch, from 0. */
  readonly batch: number;
  readonly row: number;
  /** How often the source was read before. */
  readonly epoch: number;
  /** Tokens of the document in the row, its last target included. */
  readonly tokens: number;
}

/** A row of a batch of training. */
export interface TracedRow {
  readonly row: number;
  readonly source: number;
  readonly epoch: number;
  readonly index: number;
  readonly documents: readonly (Pick<PlacedDocument, "id" | "tokens"> & {
    /** Tokens of the document in the row. */
    readonly inRow: number;
  })[];
  /** The tokens of the row and its last target. */
  readonly ids: readonly number[];
}

/** Documents whose id begins with a text in hex, at most `limit`. */
export function findDocuments(dataset: MixtureDataset, id: string, limit = 2): PlacedDocument[] {
  const found: PlacedDocument[] = [];
  for (const [source, { shards }] of dataset.manifest.sources.entries())
    for (const [part, shard] of shards.entries()) {
      if (found.length >= limit) return found;
      withTable(dataset, source, part, (table) => {
        let at = table.countBelow(id);
        for (const document of table.from(at)) {
          if (!document.id.startsWith(id) || found.length >= limit) return;
          const split = at < shard.heldout.documents ? "heldout" : "train";
          const before = table.tokensOfFirst(at) - (split === "train" ? shard.heldout.tokens : 0);
          found.push({ ...document, source, split, start: dataset.tokensOf(source, split).startOf(part) + before });
          at++;
        }
      });
    }
  return found;
}

/** The documents of a split of a source, in the order of its stream. */
export function* placedDocuments(dataset: MixtureDataset, source: number, split: SplitName): Generator<PlacedDocument> {
  const { shards } = ensure(dataset.manifest.sources[source], "source");
  const stream = dataset.tokensOf(source, split);
  for (const [part, { documents: path, heldout, train }] of shards.entries()) {
    const table = new DocumentTable(join(dataset.manifest.corpus, path), heldout.documents + train.documents);
    try {
      let start = stream.startOf(part);
      const [first, count] = split === "heldout" ? [0, heldout.documents] : [heldout.documents, train.documents];
      let at = 0;
      for (const document of table.from(first)) {
        if (at++ >= count) break;
        yield { ...document, source, split, start };
        start += document.tokens;
      }
    } finally {
      table.close();
    }
  }
}

/** All rows of the first batches that have tokens of a document: the inverse of `rowsOfBatch`. None of a held-out document. */
export function rowsWith(dataset: MixtureDataset, { source, split, start, tokens }: PlacedDocument, batches: number): DocumentRow[] {
  if (split === "heldout") return [];
  const { seq } = dataset.manifest;
  const end = start + tokens;
  const last = Math.min(Math.floor((end - 1) / seq), rowsOfTokens(dataset.tokensOf(source).length, seq) - 1);
  const found: DocumentRow[] = [];
  for (let index = Math.max(0, Math.ceil(start / seq) - 1); index <= last; index++) {
    const inRow = Math.min(end, index * seq + seq + 1) - Math.max(start, index * seq);
    for (const { step, row, epoch } of dataset.stream().find(source, index, batches))
      found.push({ batch: step, row, epoch, tokens: inRow });
  }
  return found.sort((a, b) => a.batch - b.batch || a.row - b.row);
}

/** What the rows of a batch of training have. */
export function rowsOfBatch(dataset: MixtureDataset, batch: number): TracedRow[] {
  const { batch: rows, seq } = dataset.manifest;
  return Array.from({ length: rows }, (_, row) => {
    const { source, epoch, index } = dataset.row(batch, row);
    const ids = [...dataset.tokensOf(source).read(index * seq, seq + 1)];
    return { row, source, epoch, index, documents: documentsIn(dataset, source, index * seq, ids.length), ids };
  });
}

/** The documents of a range of tokens of the training stream of a source. */
function documentsIn(dataset: MixtureDataset, source: number, first: number, count: number): TracedRow["documents"] {
  const stream = dataset.tokensOf(source);
  const { shards } = ensure(dataset.manifest.sources[source], "source");
  const found: TracedRow["documents"][number][] = [];
  const end = first + count;
  for (let { part } = stream.partAt(first); part < shards.length && stream.startOf(part) < end; part++) {
    let start = stream.startOf(part);
    withTable(dataset, source, part, (table) => {
      for (const { id, tokens } of table.from(ensure(shards[part], "shard").heldout.documents)) {
        const inRow = Math.min(start + tokens, end) - Math.max(start, first);
        if (inRow > 0) found.push({ id, tokens, inRow });
        start += tokens;
        if (start >= end) return;
      }
    });
  }
  return found;
}

function withTable(dataset: MixtureDataset, source: number, part: number, use: (table: DocumentTable) => void): void {
  const { documents, heldout, train } = ensure(dataset.manifest.sources[source]?.shards[part], "shard");
  const table = new DocumentTable(join(dataset.manifest.corpus, documents), heldout.documents + train.documents);
  try {
    use(table);
  } finally {
    table.close();
  }
}
