import { assert, ensure } from "@lapidary/std";

/** The number of times each token is a target: every token except `<bos>`. */
export class TokenCounts {
  readonly #counts: Float64Array;
  #total = 0;

  constructor(vocabSize: number) {
    this.#counts = new Float64Array(vocabSize);
  }

  add(token: number): void {
    assert(token >= 0 && token < this.#counts.length, "token outside of the vocabulary", token);
    this.#counts[token] = ensure(this.#counts[token], "count") + 1;
    this.#total++;
  }

  get total(): number {
    return this.#total;
  }

  /**
   * Cross entropy of these tokens under the unigram model of `trained`, with one added to each of its counts (Laplace):
   * the loss of a model that knows only token frequencies.
   *
   * @returns nats per token
   */
  crossEntropyUnder(trained: TokenCounts): number {
    const denominator = Math.log(trained.#total + trained.#counts.length);
    let nats = 0;
    for (const [token, count] of this.#counts.entries())
      if (count > 0) nats += count * (denominator - Math.log(ensure(trained.#counts[token], "count") + 1));
    return nats / this.#total;
  }
}
