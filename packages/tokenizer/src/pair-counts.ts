import { ensure } from "@lapidary/std";
import { PairQueue } from "./pair-queue.js";
import { firstPieceId, pairBase } from "./vocabulary.js";

/** Separates words, and replaces a character without a piece. It is in no pair. */
export const barrier = 0;

/** The words of a corpus: segments of its text. */
export interface Words {
  /** A barrier, then the characters of each word with a barrier after it. */
  readonly ids: Int32Array;
  /** For each of `ids`: how often its word occurs. */
  readonly weights: Int32Array;
}

export type Pair = readonly [left: number, right: number];

export interface PairRules {
  /** Characters of a piece. */
  lengthOf(id: number): number;
  /** Whether a pair may become a piece. */
  allowed(left: number, right: number): boolean;
  /** The order of pairs with equal counts; by their ids if absent. */
  precedes?(a: Pair, b: Pair): boolean;
}

const byIds = (a: Pair, b: Pair): boolean => (a[0] !== b[0] ? a[0] < b[0] : a[1] < b[1]);

/**
 * The number of times each pair of pieces is adjacent in all words, updated while pairs merge. A merge visits only the positions of its pair, so
 * the time of all merges is linear in the text.
 *
 *     words   ["low", "er"] × 5   ["low", "est"] × 2
 *     pairs   (low, er): 5, at one position      (low, est): 2, at one position
 *
 * A piece of n characters covers n array elements: the first has its id, the last has its length, so both neighbours are found.
 */
export class PairCounts {
  readonly #ids: Int32Array;
  readonly #weights: Int32Array;
  /** At the last element of each piece: the number of its elements. */
  readonly #lengthBefore: Uint8Array;
  readonly #index = new Map<number, number>();
  readonly #left: number[] = [];
  readonly #right: number[] = [];
  readonly #count: number[] = [];
  /** The positions of the pair. An entry may be stale, because another merge may have changed either piece. */
  readonly #places: number[][] = [];
  readonly #queue: PairQueue;
  readonly #lengthOf: (id: number) => number;
  readonly #allowed: (left: number, right: number) => boolean;

  /** @param words rewritten in place as pairs merge */
  constructor({ ids, weights }: Words, { lengthOf, allowed, precedes = byIds }: PairRules) {
    [this.#ids, this.#weights] = [ids, weights];
    this.#lengthBefore = new Uint8Array(ids.length).fill(1);
    this.#lengthOf = lengthOf;
    this.#allowed = allowed;
    const pairOf = (pair: number): Pair => [this.#left[pair] ?? 0, this.#right[pair] ?? 0];
    this.#queue = new PairQueue(
      (pair) => this.#count[pair] ?? 0,
      (a, b) => precedes(pairOf(a), pairOf(b)),
    );
    for (let at = 0; at + 1 < ids.length; at++) this.#change(ids[at] ?? barrier, ids[at + 1] ?? barrier, weights[at] ?? 0, at);
    for (let pair = 0; pair < this.#count.length; pair++) this.#queue.push(pair);
  }

  /** Removes and returns the most frequent allowed pair; undefined if no pair occurs `minCount` times. */
  next(minCount: number): Pair | undefined {
    const pair = this.#queue.pop(minCount);
    return pair === undefined ? undefined : [ensure(this.#left[pair], "left"), ensure(this.#right[pair], "right")];
  }

  /** Replaces every `left, right` by `id`, from the left, and updates the counts of the affected pairs. */
  merge(left: number, right: number, id: number): void {
    const pair = ensure(this.#index.get(left * pairBase + right), "pair");
    const places = ensure(this.#places[pair], "places");
    this.#places[pair] = [];
    // Positions of a pair of equal pieces may overlap: of "aaa" the left two merge.
    if (left === right) places.sort((a, b) => a - b);
    const increased = new Set<number>();
    for (const at of places) this.#mergeAt(at, left, right, id, increased);
    for (const changed of increased) this.#queue.push(changed);
  }

  /**
   * At one position: `… prev left right next …` becomes `… prev id next …`. `prev` may be a new `id`, `next` a `left` that merges later:
   * each step counts the pairs that are adjacent then, so the final counts are correct.
   */
  #mergeAt(at: number, left: number, right: number, id: number, increased: Set<number>): void {
    const ids = this.#ids;
    const middle = at + this.#lengthOf(left);
    if (ids[at] !== left || ids[middle] !== right) return;
    const end = middle + this.#lengthOf(right);
    const weight = this.#weights[at] ?? 0;
    const before = at - (this.#lengthBefore[at - 1] ?? 0);
    const [prev, next] = [ids[before] ?? barrier, ids[end] ?? barrier];
    this.#change(left, right, -weight, at);
    this.#change(prev, left, -weight, before);
    this.#change(right, next, -weight, middle);
    ids[at] = id;
    ids[middle] = covered;
    this.#lengthBefore[end - 1] = end - at;
    this.#change(prev, id, weight, before, increased);
    this.#change(id, next, weight, at, increased);
  }

  #change(left: number, right: number, by: number, at: number, increased?: Set<number>): void {
    if (left < firstPieceId || right < firstPieceId) return;
    const pair = this.#pair(left, right);
    if (pair < 0) return;
    this.#count[pair] = (this.#count[pair] ?? 0) + by;
    if (by < 0) return;
    increased?.add(pair);
    ensure(this.#places[pair], "places").push(at);
  }

  /** Number of the pair, assigned at first use; −1 for a pair that may not merge. */
  #pair(left: number, right: number): number {
    const key = left * pairBase + right;
    const known = this.#index.get(key);
    if (known !== undefined) return known;
    const pair = this.#allowed(left, right) ? this.#count.length : -1;
    this.#index.set(key, pair);
    if (pair < 0) return pair;
    this.#left.push(left);
    this.#right.push(right);
    this.#count.push(0);
    this.#places.push([]);
    return pair;
  }
}

/** Marks an element that a piece covers but does not start at. */
const covered = -1;
