import { join } from "node:path";
import { bandKeys, minHash, plainWordScanner, shinglesOf } from "@lapidary/detectors";
import { Account } from "@lapidary/data-store";
import { hashString } from "@lapidary/std";
import { addPair, compareRecords, copyRecord, ExternalSort, numberAt, pairBytes, RecordWriter, readRecords } from "@lapidary/records";
import { editDocuments } from "../stages/map-documents.js";
import type { GatherInputs, StageOutput, Step } from "../stages/stage.js";
import type { ShardView, ViewDocument } from "../view/view.js";
import { clusterSteps } from "./cluster-steps.js";
import { putRank, rankBytes } from "./rank.js";
import {
  dealtToPlaces,
  forEachRecord,
  noDocuments,
  partitioned,
  partOfShard,
  placeBytes,
  putRow,
  putShard,
  recordBytes,
  rowAt,
  rowBytes,
  shardAt,
} from "./record-parts.js";
import { digestBytes, digestOf, keyBytes, putKey, type Scope, scopeOf } from "./scope.js";

/** A way to find documents that are copies: two documents with an equal key are. */
export interface CopyMethod {
  /** The beginning of the reason of a document that is dropped. */
  readonly reason: string;
  readonly keyBytes: number;
  /** Rounds after which most clusters are stars around their least place. */
  readonly rounds: number;
  readonly keys: (view: ShardView, document: ViewDocument) => readonly Uint8Array[];
}

/** Documents with equal texts. */
export const exactCopies = (scope: Scope): CopyMethod => ({
  reason: "copy",
  keyBytes: digestBytes,
  // A document has one key, so the pairs of a key are a star.
  rounds: 0,
  keys: (view, document) => [digestOf(document.text, scopeOf(scope, view, document))],
});

export interface NearSettings {
  /** Words of a shingle. */
  readonly grams: number;
  readonly buckets: number;
  /** Hashes of a bucket. */
  readonly hashes: number;
  readonly scope: Scope;
}

/** Documents with an equal bucket of their MinHash signatures. */
export function nearCopies({ grams, buckets, hashes, scope }: NearSettings): CopyMethod {
  const shape = { bands: buckets, rowsPerBand: hashes };
  const scanner = plainWordScanner();
  return {
    reason: "near-duplicate",
    keyBytes,
    rounds: 2,
    keys: (view, document) => {
      const words = scanner.read(document.text);
      const signature = minHash(shinglesOf(words.hashes, words.count, grams), shape);
      const scopeHash = hashString(scopeOf(scope, view, document));
      return (signature === undefined ? [] : bandKeys(signature, shape)).map((key) => {
        const bytes = Buffer.alloc(keyBytes);
        putKey(bytes, 0, Math.floor(key / 2 ** 32), key % 2 ** 32, scopeHash);
        return bytes;
      });
    },
  };
}

/** The number of partitions of keys. A power of two, so that a new shard seldom changes it. */
export const partitionsFor = (bytes: number, partitionBytes: number): number =>
  2 ** Math.min(10, Math.max(0, Math.ceil(Math.log2(bytes / partitionBytes))));

/**
 * Drops the copies of documents, and keeps the first of each cluster by rank.
 *
 *     keys        each shard      → (key, row) in P partitions, and (row, rank) in one more
 *     pairs       each partition  → (place, place) of documents with an equal key, in both directions, by place in P partitions
 *     …           each partition  → (place, kept place) of each document that is not kept: see `clusterSteps`
 *     drop        each shard      → edits
 */
export function copySteps<S>(rounds: number, settingsOf: (settings: S) => CopySettings): readonly Step<S>[] {
  return [
    {
      shape: "scatter",
      name: "keys",
      code: "1",
      partitions: (settings, bytes) => partitionsFor(bytes, settingsOf(settings).partitionBytes) + 1,
      run: (view, inputs, _, settings, partitions) => scatterKeys(view, inputs, settingsOf(settings), partitions),
    },
    {
      shape: "gather",
      name: "pairs",
      code: "2",
      partitions: (_, before) => before - 1,
      run: (inputs, partition, partitions, settings) => gatherPairs(inputs, partition, partitions, settingsOf(settings).method.keyBytes),
    },
    ...clusterSteps<S>({ pairs: "pairs", ranks: "keys", rounds }, (settings) => rankBytes(settingsOf(settings).keepBy)),
    {
      shape: "join",
      name: "drop",
      code: "1",
      writes: "edits",
      run: (view, inputs, shard, settings) => dropCopies(view, inputs, shard, settingsOf(settings).method.reason),
    },
  ];
}

export interface CopySettings {
  readonly method: CopyMethod;
  readonly keepBy: readonly string[];
  /** Bytes of texts for each partition of keys. */
  readonly partitionBytes: number;
}

async function* scatterKeys(view: ShardView, { scratch }: GatherInputs, { method, keepBy }: CopySettings, partitions: number): StageOutput {
  const account = new Account();
  const keys = new ExternalSort(method.keyBytes + rowBytes, { directory: join(scratch, "sort") });
  const ranks = new RecordWriter(join(scratch, "ranks"), rowBytes + rankBytes(keepBy));
  const [keyed, ranked] = [Buffer.alloc(method.keyBytes + rowBytes), Buffer.alloc(rowBytes + rankBytes(keepBy))];
  for await (const document of view.documents()) {
    account.enter();
    account.deliver(document.text);
    if (view.setAside.has(document.id)) continue;
    putRow(ranked, 0, document.row);
    putRank(ranked, rowBytes, keepBy, document);
    ranks.add(ranked);
    putRow(keyed, method.keyBytes, document.row);
    for (const key of method.keys(view, document)) {
      keyed.set(key);
      keys.add(keyed);
    }
  }
  yield* partitioned(keys.finish(join(scratch, "keys")), partitions - 1);
  yield recordBytes(ranks.finish());
  return account.counts(view.name);
}

/** A document that shares keys with others is paired with the least place of each key, which suffices for their component. */
async function* gatherPairs(inputs: GatherInputs, partition: number, partitions: number, keyBytes: number): StageOutput {
  const sort = new ExternalSort(keyBytes + placeBytes, { directory: join(inputs.scratch, "sort") });
  const placed = new Uint8Array(keyBytes + placeBytes);
  for (const [shard, object] of inputs.objects.entries()) {
    putShard(placed, keyBytes, shard);
    await forEachRecord(inputs.read(object, partition), keyBytes + rowBytes, (bytes, at) => {
      copyRecord(bytes, at, placed, 0, keyBytes);
      copyRecord(bytes, at + keyBytes, placed, keyBytes + placeBytes - rowBytes, rowBytes);
      sort.add(placed);
    });
  }
  const pairs = new ExternalSort(pairBytes, { directory: join(inputs.scratch, "sort-pairs"), isUnique: true });
  const sorted = readRecords(sort.finish(join(inputs.scratch, "placed")));
  const first = new Uint8Array(keyBytes + placeBytes);
  for (let isFirst = true; sorted.next(); isFirst = false) {
    if (isFirst || compareRecords(first, 0, sorted.bytes, sorted.at, keyBytes) !== 0) {
      copyRecord(sorted.bytes, sorted.at, first, 0, first.length);
      continue;
    }
    const [a, b] = [numberAt(first, keyBytes, placeBytes), numberAt(sorted.bytes, sorted.at + keyBytes, placeBytes)];
    addPair(pairs, a, b);
    addPair(pairs, b, a);
  }
  yield* dealtToPlaces(pairs.finish(join(inputs.scratch, "pairs")), inputs.sources.length, partitions);
  return noDocuments(partition);
}

/** The reason names the source of the kept document, so that the accounts count the losses by pair of sources. */
async function* dropCopies(view: ShardView, inputs: GatherInputs, shard: number, reason: string): StageOutput {
  const keptSource = new Map<number, string>();
  for (const object of inputs.objects)
    await forEachRecord(inputs.read(object, partOfShard(shard, inputs.sources.length)), pairBytes, (bytes, at) => {
      if (shardAt(bytes, at) === shard) keptSource.set(rowAt(bytes, at), inputs.sources[shardAt(bytes, at + placeBytes)] ?? "");
    });
  return yield* editDocuments(view, ({ row }) => {
    const source = keptSource.get(row);
    return source === undefined ? undefined : { drop: `${reason} of ${source}` };
  });
}
