import { join } from "node:path";
import { Account } from "@lapidary/data-store";
import { windowAnchors, windowsAround } from "@lapidary/detectors";
import { hashString } from "@lapidary/std";
import { compareRecords, copyRecord, ExternalSort, numberAt, putNumber, type RecordStream, readRecords } from "@lapidary/records";
import { type Decision, editDocuments } from "../stages/map-documents.js";
import type { GatherInputs, StageOutput, Step } from "../stages/stage.js";
import type { ShardView } from "../view/view.js";
import { partitionsFor } from "./find-copies.js";
import { putRank, rankBytes } from "./rank.js";
import { dealtToShards, forEachRecord, noDocuments, partitioned, placeBytes, putRow, putShard, rowBytes } from "./record-parts.js";
import { RowRecords } from "./row-records.js";
import { digestBytes, digestOf, keyBytes, putKey, type Scope, scopeOf } from "./scope.js";
import { cutSpans, replacements } from "./spans.js";

interface SubstringSettings {
  /** Bytes of a window. */
  readonly bytes: number;
  /** Copies of a window that stay. */
  readonly keep: number;
  readonly scope: Scope;
}

interface Settings {
  readonly substring: SubstringSettings;
  /** Bytes of texts for each partition of windows. */
  readonly partitionBytes: number;
  readonly keepBy: readonly string[];
}

const startBytes = 4;
/** A place and the start of a window or an anchor in the bytes of the document. */
const positionBytes = placeBytes + startBytes;
const markBytes = positionBytes + 1;
const reason = "repeated bytes";

/**
 * Cuts bytes that lie in windows that other documents have too. A window stays in the first documents by rank.
 *
 *     anchors      each shard      → (hash, row, start) in P partitions: about 4 for each window of text
 *     candidates   each partition  → (place, start) of anchors that occur twice
 *     windows      each shard      → (digest, rank, row, start) of the windows around its candidates
 *     repeats      each partition  → (place, start, stays or not) of windows that occur twice, which verifies them
 *     cut          each shard      → edits
 */
export function substringSteps<S>(settingsOf: (settings: S) => Settings): readonly Step<S>[] {
  return [
    {
      shape: "scatter",
      name: "anchors",
      code: "1",
      partitions: (settings, bytes) => partitionsFor(bytes, settingsOf(settings).partitionBytes),
      run: (view, inputs, _, settings, partitions) => scatterAnchors(view, inputs, settingsOf(settings), partitions),
    },
    {
      shape: "gather",
      name: "candidates",
      code: "1",
      partitions: (_, before) => before,
      run: (inputs, partition) => gatherCandidates(inputs, partition),
    },
    {
      shape: "scatter",
      name: "windows",
      code: "1",
      partitions: (settings, bytes) => partitionsFor(bytes, settingsOf(settings).partitionBytes),
      run: (view, inputs, shard, settings, partitions) => scatterWindows(view, inputs, shard, settingsOf(settings), partitions),
    },
    {
      shape: "gather",
      name: "repeats",
      code: "1",
      partitions: (_, before) => before,
      run: (inputs, partition, _, settings) => gatherRepeats(inputs, partition, settingsOf(settings)),
    },
    {
      shape: "join",
      name: "cut",
      code: "1",
      writes: "edits",
      run: (view, inputs, shard, settings) => cutRepeats(view, inputs, shard, settingsOf(settings)),
    },
  ];
}

async function* scatterAnchors(view: ShardView, { scratch }: GatherInputs, { substring }: Settings, partitions: number): StageOutput {
  const account = new Account();
  const width = keyBytes + rowBytes + startBytes;
  const sort = new ExternalSort(width, { directory: join(scratch, "sort") });
  const record = Buffer.alloc(width);
  for await (const document of view.documents()) {
    account.enter();
    account.deliver(document.text);
    if (view.setAside.has(document.id)) continue;
    const scopeHash = hashString(scopeOf(substring.scope, view, document));
    putRow(record, keyBytes, document.row);
    for (const { start, high, low } of windowAnchors(Buffer.from(document.text), substring.bytes)) {
      putKey(record, 0, high, low, scopeHash);
      putNumber(record, keyBytes + rowBytes, startBytes, start);
      sort.add(record);
    }
  }
  yield* partitioned(sort.finish(join(scratch, "anchors")), partitions);
  return account.counts(view.name);
}

async function* gatherCandidates(inputs: GatherInputs, partition: number): StageOutput {
  const sorted = await sortWithShards(inputs, partition, keyBytes, startBytes);
  const candidates = new ExternalSort(positionBytes, { directory: join(inputs.scratch, "sort-candidates") });
  forEachRepeat(sorted, keyBytes, (bytes, at) => candidates.add(bytes, at + keyBytes));
  yield* dealtToShards(candidates.finish(join(inputs.scratch, "candidates")), inputs.sources.length);
  return noDocuments(partition);
}

async function* scatterWindows(
  view: ShardView,
  inputs: GatherInputs,
  shard: number,
  { substring, keepBy }: Settings,
  partitions: number,
): StageOutput {
  const account = new Account();
  const { scratch } = inputs;
  const candidates = await RowRecords.sort(inputs, shard, positionBytes);
  const headBytes = digestBytes + rankBytes(keepBy);
  const record = Buffer.alloc(headBytes + rowBytes + startBytes);
  const sort = new ExternalSort(record.length, { directory: join(scratch, "sort") });
  for await (const document of view.documents()) {
    account.enter();
    account.deliver(document.text);
    const anchors = candidates.take(document.row).map((bytes) => numberAt(bytes, placeBytes, startBytes));
    if (anchors.length === 0 || view.setAside.has(document.id)) continue;
    const bytes = Buffer.from(document.text);
    const scope = scopeOf(substring.scope, view, document);
    putRank(record, digestBytes, keepBy, document);
    putRow(record, headBytes, document.row);
    for (const start of windowsAround(anchors, bytes.length, substring.bytes)) {
      record.set(digestOf(bytes.subarray(start, start + substring.bytes), scope));
      putNumber(record, headBytes + rowBytes, startBytes, start);
      sort.add(record);
    }
  }
  candidates.finish();
  yield* partitioned(sort.finish(join(scratch, "windows")), partitions);
  return account.counts(view.name);
}

async function* gatherRepeats(inputs: GatherInputs, partition: number, { substring, keepBy }: Settings): StageOutput {
  const headBytes = digestBytes + rankBytes(keepBy);
  const sorted = await sortWithShards(inputs, partition, headBytes, startBytes);
  const marks = new ExternalSort(markBytes, { directory: join(inputs.scratch, "sort-marks") });
  const mark = new Uint8Array(markBytes);
  forEachRepeat(sorted, digestBytes, (bytes, at, number) => {
    copyRecord(bytes, at + headBytes, mark, 0, positionBytes);
    mark[positionBytes] = number < substring.keep ? 1 : 0;
    marks.add(mark);
  });
  yield* dealtToShards(marks.finish(join(inputs.scratch, "marks")), inputs.sources.length);
  return noDocuments(partition);
}

async function* cutRepeats(view: ShardView, inputs: GatherInputs, shard: number, { substring }: Settings): StageOutput {
  const marks = await RowRecords.sort(inputs, shard, markBytes);
  const counts = yield* editDocuments(view, ({ row, text }): Decision => {
    const windows = marks.take(row).map((bytes) => ({
      start: numberAt(bytes, placeBytes, startBytes),
      stays: bytes[positionBytes] === 1,
    }));
    const spans = cutSpans(windows, substring.bytes);
    if (spans.length === 0) return undefined;
    const replace = replacements(text, spans).map(([start, end]) => ({ start, end, by: "", reason }));
    const isEmpty = replace.reduce((rest, { start, end }) => rest - (end - start), text.length) === 0;
    return isEmpty ? { drop: reason } : { replace };
  });
  marks.finish();
  return counts;
}

/** The records of a partition of all shards, with the shard before the row, sorted. */
async function sortWithShards(inputs: GatherInputs, partition: number, headBytes: number, tailBytes: number): Promise<RecordStream> {
  const record = new Uint8Array(headBytes + placeBytes + tailBytes);
  const sort = new ExternalSort(record.length, { directory: join(inputs.scratch, "sort") });
  for (const [shard, object] of inputs.objects.entries()) {
    putShard(record, headBytes, shard);
    await forEachRecord(inputs.read(object, partition), headBytes + rowBytes + tailBytes, (bytes, at) => {
      copyRecord(bytes, at, record, 0, headBytes);
      copyRecord(bytes, at + headBytes, record, headBytes + placeBytes - rowBytes, rowBytes + tailBytes);
      sort.add(record);
    });
  }
  return readRecords(sort.finish(join(inputs.scratch, "sorted")));
}

/** Calls `visit` with each record whose first bytes another record has too, and its number among these. */
function forEachRepeat(sorted: RecordStream, keyBytes: number, visit: (bytes: Uint8Array, at: number, number: number) => void): void {
  const last = new Uint8Array(sorted.width);
  let number = -1;
  while (sorted.next()) {
    const isSame = number >= 0 && compareRecords(last, 0, sorted.bytes, sorted.at, keyBytes) === 0;
    if (isSame && number === 0) visit(last, 0, 0);
    number = isSame ? number + 1 : 0;
    if (isSame) visit(sorted.bytes, sorted.at, number);
    copyRecord(sorted.bytes, sorted.at, last, 0, sorted.width);
  }
}
