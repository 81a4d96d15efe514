import { isInTexts, type Piece } from "./model-proto.js";
import { spaceMarker } from "./normalizer.js";

/** Classes of UTF-16 units: the first 256, `▁`, all others. */
const [markerClass, otherClass, classes] = [256, 257, 258];
const marker = spaceMarker.charCodeAt(0);

/**
 * Which characters are neighbours inside of any piece. No merge joins two characters that are not, so a text can be split between them and the
 * parts merged one by one. Parts are short and repeat. Characters outside of Latin-1 are one class.
 */
export class Neighbors {
  readonly #joined = new Uint8Array(classes * classes);

  constructor(pieces: readonly Piece[]) {
    // The units of a character are never split.
    this.#joined[otherClass * classes + otherClass] = 1;
    for (const piece of pieces) {
      if (!isInTexts(piece)) continue;
      const { text } = piece;
      for (let i = 1, left = Neighbors.classOf(text.charCodeAt(0)); i < text.length; i++) {
        const right = Neighbors.classOf(text.charCodeAt(i));
        this.#joined[left * classes + right] = 1;
        left = right;
      }
    }
  }

  static classOf(unit: number): number {
    return unit < 256 ? unit : unit === marker ? markerClass : otherClass;
  }

  /** Whether a merge may join characters with these classes of their adjacent units. */
  mayJoin(left: number, right: number): boolean {
    return this.#joined[left * classes + right] === 1;
  }
}
