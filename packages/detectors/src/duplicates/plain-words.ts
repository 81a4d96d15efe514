import { normalizedNumbers } from "@lapidary/text-filters";
import { type CharacterRule, roleOfText, WordScanner } from "../word-scanner.js";

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

const isDigit = /^\p{Nd}$/u;
const isWordPart = /[\p{L}\p{N}\p{S}]/u;

/** The rule of `plainWords`, by character. */
const plainRule: CharacterRule = {
  dropsInNumbers: true,
  roleOf(character) {
    if (character === "Σ") return { kind: "contextual", text: character };
    const plain = character.toLowerCase().normalize("NFD").replace(marks, "");
    if (isDigit.test(plain)) return { kind: "number", text: "0" };
    return roleOfText(plain, (each) => (isWordPart.test(each) ? "joined" : "separator"));
  },
};

/** The same words, with their hashes. */
export const plainWordScanner = (): WordScanner => new WordScanner(plainRule, plainWords);
