const none = -1;
const empty = -2;

/** Numbers the pairs of two ids in the order of their first use. A hash table with open addressing, because a corpus has millions of pairs. */
export class PairIndex {
  #mask = 1023;
  #used = 0;
  #left = new Int32Array(1024);
  #right = new Int32Array(1024);
  /** The number of the pair; `none` for a pair without a number. */
  #numbers = new Int32Array(1024).fill(empty);

  /**
   * The number of a pair.
   *
   * @param assign gives a new pair its number, or −1 if it has none
   */
  numberOf(left: number, right: number, assign: (left: number, right: number) => number): number {
    const slot = this.#slotOf(left, right);
    const known = this.#numbers[slot] ?? empty;
    if (known !== empty) return known;
    const number = assign(left, right);
    this.#put(left, right, number);
    return number;
  }

  /** The number of a known pair; −1 for another. */
  find(left: number, right: number): number {
    const known = this.#numbers[this.#slotOf(left, right)] ?? empty;
    return known === empty ? none : known;
  }

  #put(left: number, right: number, number: number): void {
    if (this.#used * 2 > this.#mask) this.#grow();
    const slot = this.#slotOf(left, right);
    [this.#left[slot], this.#right[slot], this.#numbers[slot]] = [left, right, number];
    this.#used++;
  }

  #grow(): void {
    const [left, right, numbers] = [this.#left, this.#right, this.#numbers];
    const size = numbers.length * 2;
    this.#mask = size - 1;
    [this.#left, this.#right, this.#numbers] = [new Int32Array(size), new Int32Array(size), new Int32Array(size).fill(empty)];
    for (let i = 0; i < numbers.length; i++) {
      if (numbers[i] === empty) continue;
      const slot = this.#slotOf(left[i] ?? 0, right[i] ?? 0);
      [this.#left[slot], this.#right[slot], this.#numbers[slot]] = [left[i] ?? 0, right[i] ?? 0, numbers[i] ?? none];
    }
  }

  #slotOf(left: number, right: number): number {
    let slot = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    slot = (slot ^ (slot >>> 15)) & this.#mask;
    while (this.#numbers[slot] !== empty && (this.#left[slot] !== left || this.#right[slot] !== right)) slot = (slot + 1) & this.#mask;
    return slot;
  }
}
