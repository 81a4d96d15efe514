import { grownTo } from "./grow.js";
import { PairIndex } from "./pair-index.js";
import { PairQueue } from "./pair-queue.js";
import { firstPieceId } from "./vocabulary.js";

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

/** Marks an element that a piece covers but does not start at. */
const covered = -1;
/** The end of a list of positions. */
const none = -1;

/**
 * The number of times each pair of pieces is adjacent in all words, updated while pairs merge. A merge visits only the positions of its pair, so
 * the time of all merges is linear in the text.
 *
 *     words   ["low", "er"] × 5   ["low", "est"] × 2
 *     pairs   (low, er): 5, at one position      (low, est): 2, at one position
 *
 * A piece of n characters covers n array elements: the first has its id, the last has its length, so both neighbours are found. The positions of a
 * pair are a linked list; a position starts at most one pair. So the memory is 17 bytes for each element and 24 to 48 for each pair.
 */
export class PairCounts {
  readonly #ids: Int32Array;
  readonly #weights: Int32Array;
  /** At the last element of each piece: the number of its elements. */
  readonly #lengthBefore: Uint8Array;
  /** The list of positions of the pair that starts at a position. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #index = new PairIndex();
  readonly #queue: PairQueue;
  readonly #rules: PairRules;
  #pairs = 0;
  #left = new Int32Array(1024);
  #right = new Int32Array(1024);
  #count = new Float64Array(1024);
  #first = new Int32Array(1024);

  /** @param words rewritten in place as pairs merge */
  constructor({ ids, weights }: Words, rules: PairRules) {
    [this.#ids, this.#weights, this.#rules] = [ids, weights, rules];
    this.#lengthBefore = new Uint8Array(ids.length).fill(1);
    this.#next = new Int32Array(ids.length).fill(none);
    this.#previous = new Int32Array(ids.length).fill(none);
    const precedes = rules.precedes ?? byIds;
    this.#queue = new PairQueue(
      (pair) => this.#count[pair] ?? 0,
      (a, b) => precedes(this.#pairOf(a), this.#pairOf(b)),
    );
    // Backwards, so that the lists are in the order of the text.
    for (let at = ids.length - 2; at >= 0; at--) this.#add(ids[at] ?? barrier, ids[at + 1] ?? barrier, at);
    for (let pair = 0; pair < this.#pairs; pair++) this.#queue.push(pair);
  }

  /** Removes and returns the most frequent allowed pair; undefined if no pair occurs `minCount` times. */
  next(minCount: number): Pair | undefined {
    const pair = this.#queue.pop(minCount);
    return pair === undefined ? undefined : this.#pairOf(pair);
  }

  /** Replaces every `left, right` by `id`, from the left, and updates the counts of the affected pairs. */
  merge(left: number, right: number, id: number): void {
    const pair = this.#index.find(left, right);
    const positions: number[] = [];
    for (let at = pair < 0 ? none : (this.#first[pair] ?? none); at !== none; at = this.#next[at] ?? none) positions.push(at);
    // Positions of a pair of equal pieces may overlap: of "aaa" the left two merge.
    if (left === right) positions.sort((a, b) => a - b);
    const increased = new Set<number>();
    for (const at of positions) this.#mergeAt(at, left, right, id, increased);
    for (const changed of increased) this.#queue.push(changed);
  }

  /**
   * At one position: `… prev left right next …` becomes `… prev id next …`. `prev` may be a new `id`, `next` a `left` that merges later:
   * each step counts the pairs that are adjacent then, so the final counts are correct.
   */
  #mergeAt(at: number, left: number, right: number, id: number, increased: Set<number>): void {
    const ids = this.#ids;
    const middle = at + this.#rules.lengthOf(left);
    if (ids[at] !== left || ids[middle] !== right) return;
    const end = middle + this.#rules.lengthOf(right);
    const before = at - (this.#lengthBefore[at - 1] ?? 0);
    const [prev, next] = [ids[before] ?? barrier, ids[end] ?? barrier];
    this.#remove(left, right, at);
    this.#remove(prev, left, before);
    this.#remove(right, next, middle);
    ids[at] = id;
    ids[middle] = covered;
    this.#lengthBefore[end - 1] = end - at;
    const pairs = [this.#add(prev, id, before), this.#add(id, next, at)];
    for (const pair of pairs) if (pair >= 0) increased.add(pair);
  }

  /** Counts a pair at a position. Returns the number of the pair; −1 for a pair that may not merge. */
  #add(left: number, right: number, at: number): number {
    if (left < firstPieceId || right < firstPieceId) return none;
    const pair = this.#index.numberOf(left, right, this.#assign);
    if (pair < 0) return none;
    const first = this.#first[pair] ?? none;
    this.#next[at] = first;
    this.#previous[at] = none;
    if (first !== none) this.#previous[first] = at;
    this.#first[pair] = at;
    this.#count[pair] = (this.#count[pair] ?? 0) + (this.#weights[at] ?? 0);
    return pair;
  }

  #remove(left: number, right: number, at: number): void {
    if (left < firstPieceId || right < firstPieceId) return;
    const pair = this.#index.find(left, right);
    if (pair < 0) return;
    const [before, after] = [this.#previous[at] ?? none, this.#next[at] ?? none];
    if (before === none) this.#first[pair] = after;
    else this.#next[before] = after;
    if (after !== none) this.#previous[after] = before;
    this.#count[pair] = (this.#count[pair] ?? 0) - (this.#weights[at] ?? 0);
  }

  /** The number of a new pair. */
  readonly #assign = (left: number, right: number): number => {
    if (!this.#rules.allowed(left, right)) return none;
    const pair = this.#pairs++;
    [this.#left, this.#right] = [grownTo(this.#left, pair), grownTo(this.#right, pair)];
    [this.#count, this.#first] = [grownTo(this.#count, pair), grownTo(this.#first, pair)];
    [this.#left[pair], this.#right[pair], this.#first[pair]] = [left, right, none];
    return pair;
  };

  #pairOf(pair: number): Pair {
    return [this.#left[pair] ?? 0, this.#right[pair] ?? 0];
  }
}
