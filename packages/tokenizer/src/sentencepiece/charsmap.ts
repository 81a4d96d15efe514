import { bytesOfCodePoint } from "../wtf8.js";
import { badTokenizer } from "../tokenizer-errors.js";

/** A rule that applies at a position: the number of UTF-16 units that it replaces, and what it writes. */
export interface Replacement {
  readonly length: number;
  readonly text: string;
}

/**
 * The rules of a normalizer in the form that SentencePiece stores (`precompiled_charsmap`): a double array (Darts) of UTF-8 texts, and the
 * texts that replace them, each with a zero byte after it.
 */
export class Charsmap {
  readonly #units: Uint32Array;
  readonly #texts: Uint8Array;
  readonly #decoded = new Map<number, string>();

  /** @throws LapidaryError `LAP_DATA_TOKENIZER` */
  constructor(blob: Uint8Array, place: string) {
    const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
    const size = blob.length < 4 ? 0 : view.getUint32(0, true);
    if (size === 0 || size % 4 !== 0 || size + 4 > blob.length)
      throw badTokenizer(place, `its precompiled_charsmap of ${blob.length} bytes is damaged`);
    this.#units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.#texts = blob.subarray(4 + size);
  }

  /** The longest rule that applies at `start` of a well-formed text. */
  longestAt(text: string, start: number): Replacement | undefined {
    const units = this.#units;
    let node = offsetOf(units[0] ?? 0);
    let found: { length: number; value: number } | undefined;
    for (let at = start; at < text.length; ) {
      const codePoint = text.codePointAt(at) ?? 0;
      for (const byte of bytesOfCodePoint(codePoint)) {
        node ^= byte;
        const unit = units[node] ?? 0;
        if ((unit & 0x800000ff) >>> 0 !== byte) return this.#replacement(found);
        node ^= offsetOf(unit);
        // A text ends at this byte. Rules consist of whole characters, so only the last byte of a character counts.
        if (((unit >>> 8) & 1) === 1) found = { length: at + (codePoint > 0xffff ? 2 : 1) - start, value: (units[node] ?? 0) & 0x7fffffff };
      }
      at += codePoint > 0xffff ? 2 : 1;
    }
    return this.#replacement(found);
  }

  #replacement(found: { readonly length: number; readonly value: number } | undefined): Replacement | undefined {
    if (found === undefined) return undefined;
    let text = this.#decoded.get(found.value);
    if (text === undefined) {
      const end = this.#texts.indexOf(0, found.value);
      text = Buffer.from(this.#texts.subarray(found.value, end < 0 ? this.#texts.length : end)).toString("utf8");
      this.#decoded.set(found.value, text);
    }
    return { length: found.length, text };
  }
}

const offsetOf = (unit: number): number => ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0;
