import { must } from "@lapidary/std";
import { PairQueue } from "./pair-queue.js";
import { firstPieceId, pairBase } from "./vocabulary.js";

/** A word is a cut of the text as ids: characters of the alphabet, or `barrier` for one that has no piece. */
export const barrier = 0;

/**
 * How often each pair of pieces stands side by side in all words, kept up to date while pairs merge: a merge looks only
 * at the words that hold the pair.
 *
 *     words   ["low", "er"] × 5   ["low", "est"] × 2
 *     pairs   (low, er): 5, in word 0      (low, est): 2, in word 1
 */
export class PairCounts {
  readonly #words: number[][];
  readonly #weights: readonly number[];
  readonly #index = new Map<number, number>();
  readonly #left: number[] = [];
  readonly #right: number[] = [];
  readonly #count: number[] = [];
  /** The words that hold the pair, or held it once: a word may stand twice, and may have lost the pair since. */
  readonly #holders: number[][] = [];
  readonly #queue: PairQueue;
  readonly #allowed: (left: number, right: number) => boolean;

  /**
   * @param words each a list of ids; rewritten in place as pairs merge
   * @param weights how often each word occurs
   * @param allowed whether a pair may become a piece at all
   */
  constructor(words: number[][], weights: readonly number[], allowed: (left: number, right: number) => boolean) {
    this.#words = words;
    this.#weights = weights;
    this.#allowed = allowed;
    const [left, right] = [this.#left, this.#right];
    this.#queue = new PairQueue(
      (pair) => this.#count[pair] ?? 0,
      (a, b) => (left[a] !== left[b] ? (left[a] ?? 0) < (left[b] ?? 0) : (right[a] ?? 0) < (right[b] ?? 0)),
    );
    for (const [at, word] of words.entries())
      for (let i = 0; i + 1 < word.length; i++) this.#change(word[i] ?? barrier, word[i + 1] ?? barrier, weights[at] ?? 0, at);
    for (let pair = 0; pair < this.#count.length; pair++) this.#queue.push(pair);
  }

  /** Takes the most frequent allowed pair out of the queue; undefined when none occurs at least `least` times. */
  next(least: number): readonly [left: number, right: number] | undefined {
    const pair = this.#queue.pop(least);
    return pair === undefined ? undefined : [must(this.#left[pair], "left"), must(this.#right[pair], "right")];
  }

  /** Replaces every `left, right` by `id`, from the left, and counts the pairs that this makes and breaks. */
  merge(left: number, right: number, id: number): void {
    const pair = must(this.#index.get(left * pairBase + right), "pair");
    const holders = must(this.#holders[pair], "holders");
    this.#holders[pair] = [];
    const raised = new Set<number>();
    for (const at of holders) this.#mergeIn(at, left, right, id, raised);
    for (const changed of raised) this.#queue.push(changed);
  }

  /**
   * In one word, in place: `… prev left right next …` becomes `… prev id next …`. `prev` may be an `id` just made, `next`
   * a `left` about to merge: each step counts what then stands side by side, so the sum is right in the end.
   */
  #mergeIn(at: number, left: number, right: number, id: number, raised: Set<number>): void {
    const word = must(this.#words[at], "word");
    const weight = must(this.#weights[at], "weight");
    let out = 0;
    for (let i = 0; i < word.length; i++) {
      const here = word[i] ?? barrier;
      if (here !== left || word[i + 1] !== right) {
        word[out++] = here;
        continue;
      }
      const prev = out > 0 ? (word[out - 1] ?? barrier) : barrier;
      const next = word[i + 2] ?? barrier;
      this.#change(left, right, -weight, at);
      this.#change(prev, left, -weight, at);
      this.#change(right, next, -weight, at);
      this.#change(prev, id, weight, at, raised);
      this.#change(id, next, weight, at, raised);
      word[out++] = id;
      i++;
    }
    word.length = out;
  }

  #change(left: number, right: number, by: number, at: number, raised?: Set<number>): void {
    if (left < firstPieceId || right < firstPieceId) return;
    const pair = this.#pair(left, right);
    if (pair < 0) return;
    this.#count[pair] = (this.#count[pair] ?? 0) + by;
    if (by < 0) return;
    raised?.add(pair);
    const holders = must(this.#holders[pair], "holders");
    if (holders[holders.length - 1] !== at) holders.push(at);
  }

  /** Number of the pair, a new one if need be; −1 for a pair that may not merge. */
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
    this.#holders.push([]);
    return pair;
  }
}
