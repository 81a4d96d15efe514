import { Charsmap } from "./charsmap.js";
import type { NormalizerSpec } from "./model-proto.js";
import type { PieceTrie } from "./piece-trie.js";

/** U+2581, which represents a space in pieces. */
export const spaceMarker = "\u2581";

/** Most texts have none, and the search for one is faster than a search for lone ones. */
const surrogate = /[\ud800-\udfff]/;

interface NormalizerParts {
  readonly spec: NormalizerSpec;
  /** Whether the space that `addDummyPrefix` adds follows the text. */
  readonly isSuffix: boolean;
  /** Symbols that rules do not change. */
  readonly symbols: PieceTrie;
  /** The file, for errors. */
  readonly place: string;
}

/**
 * The text that is segmented (normalizer.cc of SentencePiece): the rules of the charsmap applied from the left, the longest first; spaces
 * removed or added. If `escapeWhitespaces`, the caller writes `▁` for each space that is left.
 *
 * @throws LapidaryError `LAP_DATA_TOKENIZER` for a damaged charsmap
 */
export function normalizerOf({ spec, isSuffix, symbols, place }: NormalizerParts): (text: string) => string {
  const marker = spec.escapeWhitespaces ? spaceMarker : " ";
  const [prefix, suffix] = [spec.addDummyPrefix && !isSuffix ? marker : "", spec.addDummyPrefix && isSuffix ? marker : ""];
  const escaped = (text: string): string => (spec.escapeWhitespaces ? text.replaceAll(" ", marker) : text);
  const charsmap = spec.charsmap.length === 0 ? undefined : new Charsmap(spec.charsmap, place);
  const clean =
    charsmap === undefined && !spec.removeExtraWhitespaces ? undefined : cleaner(charsmap, symbols, spec.removeExtraWhitespaces);
  return (text) => {
    const read = surrogate.test(text) ? text.replace(/\p{Cs}/gu, "\ufffd") : text;
    if (clean === undefined) return read === "" ? "" : prefix + read + suffix;
    const { isBlank, cleaned } = clean(read);
    if (isBlank) return "";
    const written = prefix + escaped(cleaned);
    return (spec.removeExtraWhitespaces ? withoutTrailing(written, marker) : written) + suffix;
  };
}

interface Cleaned {
  /** Whether no character was left after the removal of leading spaces. */
  readonly isBlank: boolean;
  readonly cleaned: string;
}

function cleaner(charsmap: Charsmap | undefined, symbols: PieceTrie, removesSpaces: boolean): (text: string) => Cleaned {
  return (text) => {
    let cleaned = "";
    let isBlank = true;
    let isAfterSpace = removesSpaces;
    for (let at = 0; at < text.length; ) {
      const { length, text: replaced } = stepAt(text, at, charsmap, symbols);
      at += length;
      if (isBlank && removesSpaces && replaced === " ") continue;
      isBlank = false;
      const written = isAfterSpace ? withoutLeading(replaced, " ") : replaced;
      cleaned += written;
      if (!removesSpaces) isAfterSpace = false;
      else if (written !== "") isAfterSpace = written.endsWith(" ");
    }
    return { isBlank, cleaned };
  };
}

/** What the text at `at` becomes: a symbol or one character unchanged, or the result of a rule. */
function stepAt(text: string, at: number, charsmap: Charsmap | undefined, symbols: PieceTrie): { length: number; text: string } {
  const end = symbols.starts[text.charCodeAt(at)] === 1 ? symbols.longestEnd(at, text.length, (i) => text.charCodeAt(i)) : at;
  if (end > at) return { length: end - at, text: text.slice(at, end) };
  const length = (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  return charsmap?.longestAt(text, at) ?? { length, text: text.slice(at, at + length) };
}

function withoutLeading(text: string, what: string): string {
  let start = 0;
  while (text.startsWith(what, start)) start += what.length;
  return text.slice(start);
}

function withoutTrailing(text: string, what: string): string {
  let end = text.length;
  while (text.endsWith(what, end)) end -= what.length;
  return text.slice(0, end);
}
