import type { Piece } from "./model-proto.js";

const none = -1;

/** The ids of pieces by their texts: an open-addressing table, which is built several times faster than a `Map` of 256,000 texts. */
export class PieceIds {
  readonly #pieces: readonly Piece[];
  readonly #ids: Int32Array;
  readonly #hashes: Int32Array;
  readonly #mask: number;
  /** The first two ids with the same text. */
  readonly duplicate: readonly [number, number] | undefined;

  constructor(pieces: readonly Piece[]) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(2, pieces.length) * 2));
    [this.#pieces, this.#mask] = [pieces, size - 1];
    [this.#ids, this.#hashes] = [new Int32Array(size).fill(none), new Int32Array(size)];
    let id = 0;
    for (const { text } of pieces) {
      const hash = hashOf(text);
      const slot = this.#slotOf(text, hash);
      const other = this.#ids[slot] ?? none;
      if (other === none) [this.#ids[slot], this.#hashes[slot]] = [id, hash];
      else this.duplicate ??= [other, id];
      id++;
    }
  }

  get(text: string): number | undefined {
    const id = this.#ids[this.#slotOf(text, hashOf(text))] ?? none;
    return id === none ? undefined : id;
  }

  /** The slot of a text, or the free slot where it belongs. */
  #slotOf(text: string, hash: number): number {
    const [ids, hashes, mask] = [this.#ids, this.#hashes, this.#mask];
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const id = ids[slot] ?? none;
      if (id === none || (hashes[slot] === hash && this.#pieces[id]?.text === text)) return slot;
    }
  }
}

function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
}
