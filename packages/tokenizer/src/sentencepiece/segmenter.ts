import type { TextUnits } from "./text-units.js";

/** Splits a normalized text into pieces: byte-pair merges or a unigram model. */
export interface Segmenter {
  /**
   * Appends the ids of a normalized text. A character without a piece has the id of the unknown piece.
   *
   * @param unknown called with each such character instead of appending
   */
  segment(text: TextUnits, ids: number[], unknown: (character: string) => void): void;
}
