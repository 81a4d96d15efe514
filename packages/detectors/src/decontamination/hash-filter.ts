const bits = 20;

/** A set of 32-bit hashes that can say yes for one that was not added, so that most hashes need no further search. */
export class HashFilter {
  readonly #words = new Int32Array(1 << (bits - 5));

  add(hash: number): void {
    const bit = hash >>> (32 - bits);
    this.#words[bit >>> 5] = (this.#words[bit >>> 5] ?? 0) | (1 << (bit & 31));
  }

  has(hash: number): boolean {
    const bit = hash >>> (32 - bits);
    return (((this.#words[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) === 1;
  }
}
