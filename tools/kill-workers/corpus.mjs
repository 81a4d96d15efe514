import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Files of the corpus. */
export const corpusFiles = 8;

/**
 * mulberry32
 * @param {number} seed
 * @returns {() => number} numbers in [0, 1)
 */
export function seededRandom(seed) {
  const state = { value: seed };
  return () => {
    state.value = (state.value + 0x6d2b79f5) >>> 0;
    let t = state.value;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Writes `in/web`, `in/books` and `evals`: texts with copies, near-duplicates, common passages and items of an evaluation set.
 *
 * @param {string} directory
 * @param {number} megabytes
 * @param {() => number} random
 */
export function writeCorpus(directory, megabytes, random) {
  /** @param {number} limit */
  const below = (limit) => Math.floor(random() * limit);
  const words = Array.from({ length: 2000 }, () =>
    Array.from({ length: 3 + below(7) }, () => String.fromCharCode(97 + below(26))).join(""),
  );
  const sentence = () => `${Array.from({ length: 8 + below(12) }, () => words[below(words.length)]).join(" ")}.`;
  const text = (/** @type {number} */ sentences) => Array.from({ length: sentences }, sentence).join(" ");
  const passages = Array.from({ length: 20 }, () => text(3));
  const items = Array.from({ length: 20 }, (_, i) => ({ id: `item-${i}`, query: text(3), label: text(1) }));
  /** @type {string[]} */
  const recent = [];
  mkdirSync(join(directory, "evals"), { recursive: true });
  writeFileSync(join(directory, "evals/items.jsonl"), items.map((item) => `${JSON.stringify(item)}\n`).join(""));
  const fileBytes = (megabytes * 1e6) / corpusFiles;
  for (let file = 0; file < corpusFiles; file++) {
    const source = file % 2 === 0 ? "web" : "books";
    mkdirSync(join(directory, "in", source), { recursive: true });
    const output = openSync(join(directory, "in", source, `${file}.jsonl`), "w");
    for (let bytes = 0, row = 0; bytes < fileBytes; row++) {
      const kind = below(10);
      const item = items[below(items.length)];
      const earlier = recent[below(recent.length)];
      let content = text(10 + below(30));
      if (kind === 0 && earlier !== undefined) content = earlier;
      else if (kind === 1 && earlier !== undefined) content = `${earlier} ${sentence()}`;
      else if (kind === 2) content += ` ${passages[below(passages.length)]}`;
      else if (kind === 4) content += ` Write to ${words[below(words.length)]}@velmora-post.net.`;
      else if (kind === 3) content += ` ${item?.query} ${item?.label}`;
      recent[row % 100] = content;
      const line = `${JSON.stringify({ id: `${file}-${row}`, text: content })}\n`;
      writeFileSync(output, line);
      bytes += line.length;
    }
    closeSync(output);
  }
}
