const empty = -2;
/** The piece of a pair that is not a piece. */
export const noPiece = -1;

/** A full table is cleared. It then has 12 MB. */
const maxPairs = 1 << 19;

/**
 * The piece whose text is the concatenation of two symbols, computed when a pair first occurs: a vocabulary of 256,000 pieces has half a million
 * pairs, of which a text needs few. A hash table with open addressing.
 */
export class PairPieces {
  readonly #compute: (left: number, right: number) => number;
  #mask = 4095;
  #used = 0;
  #left = new Int32Array(4096);
  #right = new Int32Array(4096);
  #piece = new Int32Array(4096).fill(empty);

  /** @param compute the piece of a pair; `noPiece` if there is none */
  constructor(compute: (left: number, right: number) => number) {
    this.#compute = compute;
  }

  of(left: number, right: number): number {
    const slot = this.#slotOf(left, right);
    const known = this.#piece[slot] ?? empty;
    return known === empty ? this.#add(left, right) : known;
  }

  #add(left: number, right: number): number {
    const piece = this.#compute(left, right);
    if (this.#used * 2 > this.#mask) this.#grow();
    this.#put(left, right, piece);
    return piece;
  }

  #put(left: number, right: number, piece: number): void {
    const slot = this.#slotOf(left, right);
    [this.#left[slot], this.#right[slot], this.#piece[slot]] = [left, right, piece];
    this.#used++;
  }

  #grow(): void {
    const [left, right, piece] = [this.#left, this.#right, this.#piece];
    const isFull = this.#used >= maxPairs;
    const size = isFull ? 4096 : left.length * 2;
    this.#mask = size - 1;
    this.#used = 0;
    [this.#left, this.#right, this.#piece] = [new Int32Array(size), new Int32Array(size), new Int32Array(size).fill(empty)];
    if (isFull) return;
    for (let i = 0; i < piece.length; i++) if (piece[i] !== empty) this.#put(left[i] ?? 0, right[i] ?? 0, piece[i] ?? empty);
  }

  #slotOf(left: number, right: number): number {
    let slot = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    slot = (slot ^ (slot >>> 15)) & this.#mask;
    while (this.#piece[slot] !== empty && (this.#left[slot] !== left || this.#right[slot] !== right)) slot = (slot + 1) & this.#mask;
    return slot;
  }
}
