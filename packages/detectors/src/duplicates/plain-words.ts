import { normalizedNumbers } from "@lapidary/text-filters";

const word = /[\p{L}\p{N}\p{S}]+/gu;
const mark = /\p{M}/u;
const marks = /\p{M}/gu;

/**
 * The words of a text without case, punctuation, accents and layout. Every number is `0`, so that pages that differ only by a date or a price have
 * equal words.
 */
export function plainWords(text: string): readonly string[] {
  const decomposed = text.toLowerCase().normalize("NFD");
  const plain = mark.test(decomposed) ? decomposed.replace(marks, "") : decomposed;
  return normalizedNumbers(plain).match(word) ?? [];
}
