import { closeSync, openSync, writeSync } from "node:fs";
import { ensure, type Random, seededRandom } from "@lapidary/std";

/** The seed of all changes, so that two runs have the same corpus. */
const seed = 1;
/** Of a text that is used again, this share of words is replaced by words of other texts. */
const changedShare = 0.05;
/** Longer texts are divided, so that documents have the size of pages. */
const maxCharacters = 6000;
const minCharacters = 300;

/**
 * Documents of at least `bytes` in total, without end before that: all texts in order, then all again with other words in some places, and so on. The
 * memory is that of the texts.
 *
 * @param texts at least one that is not empty
 */
export function* repeatedTexts(texts: readonly string[], bytes: number): Generator<string> {
  const pages = texts.flatMap(pagesOf);
  const words = pages.flatMap((page) => page.slice(0, 200).match(/\p{L}+/gu) ?? []);
  const random = seededRandom(seed);
  let size = 0;
  for (let round = 0; size < bytes; round++)
    for (const page of pages) {
      if (size >= bytes) return;
      const text = round === 0 ? page : changed(page, words, random);
      size += Buffer.byteLength(text);
      yield text;
    }
}

function pagesOf(text: string): string[] {
  const pages: string[] = [];
  for (let start = 0; start < text.length; start += maxCharacters)
    pages.push(text.slice(start, start + maxCharacters).replace(/\p{Cs}/gu, "\ufffd"));
  return pages.filter((page, i) => i === 0 || page.length >= minCharacters);
}

function changed(page: string, words: readonly string[], random: Random): string {
  if (words.length === 0) return page;
  return page.replace(/\p{L}+/gu, (word) =>
    random.next() < changedShare ? ensure(words[random.integer(words.length)], "word of the corpus") : word,
  );
}

/** Writes texts as JSON lines. Returns their number. */
export function writeCorpus(path: string, texts: Iterable<string>): number {
  const file = openSync(path, "w");
  let count = 0;
  try {
    for (const text of texts) writeSync(file, `${JSON.stringify({ id: String(count++), text })}\n`);
  } finally {
    closeSync(file);
  }
  return count;
}
