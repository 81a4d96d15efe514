import { spaceMarker } from "./normalizer.js";

/** Classes of UTF-16 units: the first 256, `▁`, all others. */
const [markerClass, otherClass, classes] = [256, 257, 258];
const marker = spaceMarker.charCodeAt(0);

const classOf = (unit: number): number => (unit < 256 ? unit : unit === marker ? markerClass : otherClass);

/**
 * Which characters are neighbours inside of any piece. No merge joins two characters that are not, so a text can be split between them and the
 * parts merged one by one. Parts are short and repeat. Characters outside of Latin-1 are one class.
 */
export class Neighbors {
  readonly #joined = new Uint8Array(classes * classes);

  /** @param pieces the texts that merges can produce */
  constructor(pieces: Iterable<string>) {
    // The units of a character are never split.
    this.#joined[otherClass * classes + otherClass] = 1;
    for (const piece of pieces)
      for (let i = 1, left = classOf(piece.charCodeAt(0)); i < piece.length; i++) {
        const right = classOf(piece.charCodeAt(i));
        this.#joined[left * classes + right] = 1;
        left = right;
      }
  }

  /** Whether a merge may join a character that ends with unit `left` to one that starts with unit `right`. */
  mayJoin(left: number, right: number): boolean {
    return this.#joined[classOf(left) * classes + classOf(right)] === 1;
  }
}
