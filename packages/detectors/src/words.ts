import { type CharacterRule, roleOfText, WordScanner } from "./word-scanner.js";

/** Scripts without spaces between words: each character counts as a word. */
const unspaced =
  "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}";
const wordPattern = new RegExp(`[${unspaced}]|(?:(?![${unspaced}])[\\p{L}\\p{N}])+`, "gu");

/** The words of a text without case, accents and punctuation, so that copies with another layout have the same words. */
export function wordsOf(text: string): readonly string[] {
  const plain = text
    .normalize("NFKD")
    .replace(/[\p{M}'’]/gu, "")
    .toLowerCase();
  return plain.match(wordPattern) ?? [];
}

const dropped = /[\p{M}'’]/gu;
const isUnspaced = new RegExp(`^[${unspaced}]$`, "u");
const isWordPart = /[\p{L}\p{N}]/u;

/** The rule of `wordsOf`, by character. */
const wordRule: CharacterRule = {
  dropsInNumbers: false,
  roleOf(character) {
    const plain = character.normalize("NFKD").replace(dropped, "");
    if (plain.includes("Σ")) return { kind: "contextual", text: plain };
    return roleOfText(plain.toLowerCase(), (each) => (isUnspaced.test(each) ? "single" : isWordPart.test(each) ? "joined" : "separator"));
  },
};

/** The same words, with their hashes. */
export const wordScanner = (): WordScanner => new WordScanner(wordRule, wordsOf);

/** All runs of `n` words, joined by blanks. A shorter text has one run of all its words, and a text without words has none. */
export function nGrams(words: readonly string[], n: number): readonly string[] {
  if (words.length === 0) return [];
  if (words.length <= n) return [words.join(" ")];
  return Array.from({ length: words.length - n + 1 }, (_, at) => words.slice(at, at + n).join(" "));
}
