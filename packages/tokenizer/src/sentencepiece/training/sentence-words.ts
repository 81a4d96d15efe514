import { PieceTrie } from "../piece-trie.js";
import { spaceMarker } from "../normalizer.js";

/** Separates the parts of a word. No piece contains it. */
export const boundary = "\t";
/** SentencePiece skips lines with this character, because its trainer uses it for rare characters. */
const reserved = "\u2585";

/**
 * The words of texts, as the trainer of SentencePiece reads them: each line is a sentence; spaces are `▁`; the names of control tokens, bytes and
 * symbols are boundaries; a word starts with its spaces.
 *
 *     "  return 1"   →   "▁▁return", "▁1"
 */
export class SentenceWords {
  readonly #names = new PieceTrie();

  /** @param names of the pieces that are not trained */
  constructor(names: Iterable<string>) {
    for (const [id, name] of [...names].entries()) this.#names.add(name, id);
  }

  /** Calls `onWord` with each word of a text. */
  forEach(text: string, onWord: (word: string) => void): void {
    for (const line of text.replace(/\p{Cs}/gu, "\ufffd").split("\n")) {
      if (line === "" || line.includes(reserved)) continue;
      const sentence = this.#withBoundaries(line.replaceAll(" ", spaceMarker));
      let start = 0;
      for (let at = sentence.indexOf(spaceMarker, 1); at >= 0; at = sentence.indexOf(spaceMarker, at + 1)) {
        // A word starts with all its spaces.
        if (sentence.startsWith(spaceMarker, at - 1)) continue;
        onWord(sentence.slice(start, at));
        start = at;
      }
      onWord(sentence.slice(start));
    }
  }

  #withBoundaries(sentence: string): string {
    let written = "";
    let start = 0;
    for (let at = 0; at < sentence.length; ) {
      const end =
        this.#names.starts[sentence.charCodeAt(at)] === 1 ? this.#names.longestEnd(at, sentence.length, (i) => sentence.charCodeAt(i)) : at;
      if (end > at) {
        written += sentence.slice(start, at) + boundary;
        start = at = end;
      } else at++;
    }
    return start === 0 ? sentence : written + sentence.slice(start);
  }
}
