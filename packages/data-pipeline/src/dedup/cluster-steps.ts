import { join } from "node:path";
import { assert } from "@lapidary/std";
import {
  addPair,
  compareRecords,
  componentsOnDisk,
  copyRecord,
  ExternalSort,
  forEachStarEdge,
  pairBytes,
  type RecordFile,
  type RecordStream,
  RecordWriter,
  readRecords,
} from "@lapidary/records";
import type { GatherInputs, StageOutput, Step } from "../stages/stage.js";
import {
  dealtToPlaces,
  dealtToShards,
  forEachRecord,
  noDocuments,
  partitionOfShard,
  placeBytes,
  putShard,
  recordBytes,
  rowBytes,
} from "./record-parts.js";

/** The steps that wrote pairs in partitions of places, and ranks in the last part of the object of each shard. */
interface ClusterInputs {
  readonly pairs: string;
  readonly ranks: string;
  /** Rounds of both stars. `rest` completes what they do not make a star. */
  readonly rounds: number;
}

/**
 * The connected components of pairs of places, over any number of workers, and the document of each component that is kept. Partition p has all edges of
 * the places in its shards, so a star operation needs no other partition (Kiveris et al. 2014, "Connected Components in MapReduce and Beyond").
 *
 *     large-1, small-1, …   each partition   → edges; after some rounds most components are stars
 *     settle                each partition   → (centre, rank, place) of each place with an edge, and in one more part the edges that are not of a star
 *     rest                  these edges      → (place, least place) of their components: few, so one task suffices
 *     ranked                each partition   → (least place of the component, rank, place)
 *     choose                each partition   → (place, kept place) of each place that is not kept, by shard
 */
export function clusterSteps<S>({ pairs, ranks, rounds }: ClusterInputs, rankBytesOf: (settings: S) => number): readonly Step<S>[] {
  const star = (kind: "large" | "small", round: number): Step<S> => ({
    shape: "gather",
    name: `${kind}-${round}`,
    code: "1",
    partitions: (_, before) => before,
    run: (inputs, partition, partitions) => gatherStar(inputs, partition, partitions, kind),
  });
  const stars = Array.from({ length: rounds }, (_, round) => [star("large", round + 1), star("small", round + 1)]).flat();
  const last = stars.at(-1)?.name ?? pairs;
  return [
    ...stars,
    {
      shape: "gather",
      name: "settle",
      code: "1",
      reads: [last, ranks],
      partitions: (_, before) => before,
      run: (inputs, partition, partitions, settings) =>
        settle(inputs, { edges: last, ranks }, partition, partitions, rankBytesOf(settings)),
    },
    {
      shape: "gather",
      name: "rest",
      code: "1",
      partitions: () => 1,
      run: (inputs) => completeRest(inputs),
    },
    {
      shape: "gather",
      name: "ranked",
      code: "1",
      reads: ["settle", "rest"],
      partitions: (_, before) => before,
      run: (inputs, partition, partitions, settings) => gatherRanked(inputs, partition, partitions, rankBytesOf(settings)),
    },
    {
      shape: "gather",
      name: "choose",
      code: "1",
      partitions: (_, before) => before,
      run: (inputs, partition, _, settings) => chooseFirst(inputs, partition, rankBytesOf(settings)),
    },
  ];
}

/** A large-star reads edges in both directions and writes them from the larger place; a small-star does the opposite. */
async function* gatherStar(inputs: GatherInputs, partition: number, partitions: number, kind: "large" | "small"): StageOutput {
  const edges = await sorted(inputs, inputs.objects, partition, pairBytes, "edges");
  const next = new ExternalSort(pairBytes, { directory: join(inputs.scratch, "sort-next"), isUnique: true });
  forEachStarEdge(readRecords(edges), kind, (larger, smaller) => {
    addPair(next, larger, smaller);
    if (kind === "small") addPair(next, smaller, larger);
  });
  yield* dealtToPlaces(next.finish(join(inputs.scratch, "next")), inputs.sources.length, partitions);
  return noDocuments(partition);
}

/**
 * A place with one neighbour, which is smaller, belongs to the star of this neighbour. A place without a smaller neighbour is the centre of a star. All other
 * places are centres of stars that `rest` joins by their edges to smaller places.
 */
async function* settle(
  inputs: GatherInputs,
  steps: { readonly edges: string; readonly ranks: string },
  partition: number,
  partitions: number,
  rankBytes: number,
): StageOutput {
  const { scratch, sources } = inputs;
  const edges = readRecords(await sorted(inputs, inputs.of(steps.edges), partition, pairBytes, "edges"));
  const ranks = new Ranks(await ranksOf(inputs, inputs.of(steps.ranks), partition, partitions, rankBytes), rankBytes);
  const width = placeBytes + rankBytes + placeBytes;
  const members = new ExternalSort(width, { directory: join(scratch, "sort-members") });
  const rest = new RecordWriter(join(scratch, "rest"), pairBytes);
  const [member, first, place] = [new Uint8Array(width), new Uint8Array(pairBytes), new Uint8Array(placeBytes)];
  let hasEdge = edges.next();
  while (hasEdge) {
    copyRecord(edges.bytes, edges.at, place, 0, placeBytes);
    // The neighbours are sorted: the smaller ones come first. The edge to the first waits until it is clear whether the place belongs to a star.
    let [smaller, isCentre] = [0, false];
    for (; hasEdge && compareRecords(place, 0, edges.bytes, edges.at, placeBytes) === 0; hasEdge = edges.next()) {
      if (compareRecords(edges.bytes, edges.at + placeBytes, place, 0, placeBytes) > 0) {
        isCentre = true;
        continue;
      }
      smaller++;
      if (smaller === 1) copyRecord(edges.bytes, edges.at, first, 0, pairBytes);
      if (smaller === 2) rest.add(first);
      if (smaller >= 2) rest.add(edges.bytes, edges.at);
    }
    const belongs = smaller === 1 && !isCentre;
    if (smaller === 1 && isCentre) rest.add(first);
    copyRecord(belongs ? first : place, belongs ? placeBytes : 0, member, 0, placeBytes);
    ranks.copyTo(place, member, placeBytes);
    copyRecord(place, 0, member, placeBytes + rankBytes, placeBytes);
    members.add(member);
  }
  ranks.finish();
  yield* dealtToPlaces(members.finish(join(scratch, "members")), sources.length, partitions);
  yield recordBytes(rest.finish());
  return noDocuments(partition);
}

async function* completeRest(inputs: GatherInputs): StageOutput {
  const { scratch, objects, sources } = inputs;
  const partitions = objects.length;
  const edges = new RecordWriter(join(scratch, "edges"), pairBytes);
  for (const object of objects) await forEachRecord(inputs.read(object, partitions), pairBytes, (bytes, at) => edges.add(bytes, at));
  const members = componentsOnDisk(readRecords(edges.finish()), join(scratch, "members"), { directory: join(scratch, "components") });
  yield* dealtToPlaces(members, sources.length, partitions);
  return noDocuments(0);
}

async function* gatherRanked(inputs: GatherInputs, partition: number, partitions: number, rankBytes: number): StageOutput {
  const width = placeBytes + rankBytes + placeBytes;
  const members = readRecords(await sorted(inputs, inputs.of("settle"), partition, width, "members"));
  const rest = readRecords(await sorted(inputs, inputs.of("rest"), partition, pairBytes, "rest"));
  const next = new ExternalSort(width, { directory: join(inputs.scratch, "sort-next") });
  const member = new Uint8Array(width);
  let hasRest = rest.next();
  while (members.next()) {
    while (hasRest && compareRecords(rest.bytes, rest.at, members.bytes, members.at, placeBytes) < 0) hasRest = rest.next();
    copyRecord(members.bytes, members.at, member, 0, width);
    if (hasRest && compareRecords(rest.bytes, rest.at, members.bytes, members.at, placeBytes) === 0)
      copyRecord(rest.bytes, rest.at + placeBytes, member, 0, placeBytes);
    next.add(member);
  }
  rest.close();
  yield* dealtToPlaces(next.finish(join(inputs.scratch, "next")), inputs.sources.length, partitions);
  return noDocuments(partition);
}

async function* chooseFirst(inputs: GatherInputs, partition: number, rankBytes: number): StageOutput {
  const { scratch, sources } = inputs;
  const width = placeBytes + rankBytes + placeBytes;
  const members = readRecords(await sorted(inputs, inputs.objects, partition, width, "members"));
  const dropped = new ExternalSort(pairBytes, { directory: join(scratch, "sort-dropped") });
  const [component, pair] = [new Uint8Array(placeBytes), new Uint8Array(pairBytes)];
  for (let isFirst = true; members.next(); isFirst = false) {
    const place = members.at + placeBytes + rankBytes;
    if (isFirst || compareRecords(component, 0, members.bytes, members.at, placeBytes) !== 0) {
      copyRecord(members.bytes, members.at, component, 0, placeBytes);
      copyRecord(members.bytes, place, pair, placeBytes, placeBytes);
      continue;
    }
    copyRecord(members.bytes, place, pair, 0, placeBytes);
    dropped.add(pair);
  }
  yield* dealtToShards(dropped.finish(join(scratch, "dropped")), sources.length);
  return noDocuments(partition);
}

/** A part of some objects, sorted, each record once. */
async function sorted(
  inputs: GatherInputs,
  objects: GatherInputs["objects"],
  part: number,
  width: number,
  name: string,
): Promise<RecordFile> {
  const sort = new ExternalSort(width, { directory: join(inputs.scratch, `sort-${name}`), isUnique: true });
  for (const object of objects) await forEachRecord(inputs.read(object, part), width, (bytes, at) => sort.add(bytes, at));
  return sort.finish(join(inputs.scratch, name));
}

/** (place, rank) of all documents in the shards of a partition. Shards are in the order of places. */
async function ranksOf(
  inputs: GatherInputs,
  shards: GatherInputs["objects"],
  partition: number,
  partitions: number,
  rankBytes: number,
): Promise<RecordFile> {
  const ranks = new RecordWriter(join(inputs.scratch, "ranks"), placeBytes + rankBytes);
  const ranked = new Uint8Array(placeBytes + rankBytes);
  for (const [shard, object] of shards.entries()) {
    if (partitionOfShard(shard, shards.length, partitions) !== partition) continue;
    putShard(ranked, 0, shard);
    await forEachRecord(inputs.read(object, partitions), rowBytes + rankBytes, (bytes, at) => {
      copyRecord(bytes, at, ranked, placeBytes - rowBytes, rowBytes + rankBytes);
      ranks.add(ranked);
    });
  }
  return ranks.finish();
}

/** Ranks in the order of places. */
class Ranks {
  readonly #ranks: RecordStream;
  readonly #rankBytes: number;
  #hasNext: boolean;

  constructor(file: RecordFile, rankBytes: number) {
    [this.#ranks, this.#rankBytes] = [readRecords(file), rankBytes];
    this.#hasNext = this.#ranks.next();
  }

  /** Copies the rank of a place. Places are asked for in order. */
  copyTo(place: Uint8Array, to: Uint8Array, at: number): void {
    const ranks = this.#ranks;
    while (this.#hasNext && compareRecords(ranks.bytes, ranks.at, place, 0, placeBytes) < 0) this.#hasNext = ranks.next();
    assert(this.#hasNext && compareRecords(ranks.bytes, ranks.at, place, 0, placeBytes) === 0, "a place has a rank", place);
    copyRecord(ranks.bytes, ranks.at + placeBytes, to, at, this.#rankBytes);
  }

  finish(): void {
    this.#ranks.close();
  }
}
