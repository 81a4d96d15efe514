import { codePoints, strip } from "./python-text.js";

/** Runs of words whose most frequent one counts, by number of words. */
export const topSizes = [2, 3, 4] as const;
/** Runs of words whose repetitions count, by number of words. */
export const duplicateSizes = [5, 6, 7, 8, 9, 10] as const;

/** Shares of a text that repeat an earlier part. Table A1 of the Gopher paper (arXiv 2112.11446) defines them; characters are code points. */
export interface RepetitionMeasures {
  readonly "repetition.paragraphs": number;
  readonly "repetition.paragraph_characters": number;
  readonly "repetition.lines": number;
  readonly "repetition.line_characters": number;
  readonly "repetition.top_2": number;
  readonly "repetition.top_3": number;
  readonly "repetition.top_4": number;
  readonly "repetition.duplicate_5": number;
  readonly "repetition.duplicate_6": number;
  readonly "repetition.duplicate_7": number;
  readonly "repetition.duplicate_8": number;
  readonly "repetition.duplicate_9": number;
  readonly "repetition.duplicate_10": number;
}

/**
 * @param words of the text, in order
 * @param characters code points of the text, at least 1
 */
export function repetitionMeasures(text: string, words: readonly string[], characters: number): RepetitionMeasures {
  const paragraphs = strip(text).split(/\n{2,}/);
  const lines = text.split(/\n+/);
  const [byParagraph, byLine] = [duplicatesOf(paragraphs), duplicatesOf(lines)];
  const table = wordTable(words);
  const [top2, top3, top4] = topCharacters(table);
  const runs = new RepeatedRuns(words, table.lengths);
  const share = (n: number): number => runs.characters(n) / characters;
  return {
    "repetition.paragraphs": byParagraph.count / paragraphs.length,
    "repetition.paragraph_characters": byParagraph.characters / characters,
    "repetition.lines": byLine.count / lines.length,
    "repetition.line_characters": byLine.characters / characters,
    "repetition.top_2": top2 / characters,
    "repetition.top_3": top3 / characters,
    "repetition.top_4": top4 / characters,
    "repetition.duplicate_5": share(5),
    "repetition.duplicate_6": share(6),
    "repetition.duplicate_7": share(7),
    "repetition.duplicate_8": share(8),
    "repetition.duplicate_9": share(9),
    "repetition.duplicate_10": share(10),
  };
}

/** Parts that equal an earlier one, and their characters. */
export function duplicatesOf(parts: readonly string[]): { readonly count: number; readonly characters: number } {
  const seen = new Set<string>();
  let [count, characters] = [0, 0];
  for (const part of parts) {
    if (!seen.has(part)) seen.add(part);
    else [count, characters] = [count + 1, characters + codePoints(part)];
  }
  return { count, characters };
}

interface WordTable {
  /** For each word a number; equal words have equal numbers, below `distinct`. */
  readonly ids: Int32Array;
  readonly distinct: number;
  /** Code points of each word. */
  readonly lengths: Int32Array;
}

function wordTable(words: readonly string[]): WordTable {
  const known = new Map<string, number>();
  const ids = new Int32Array(words.length);
  const lengths = new Int32Array(words.length);
  const lengthById: number[] = [];
  for (const [i, word] of words.entries()) {
    let id = known.get(word);
    if (id === undefined) {
      id = known.size;
      known.set(word, id);
      lengthById.push(codePoints(word));
    }
    ids[i] = id;
    lengths[i] = lengthById[id] ?? 0;
  }
  return { ids, distinct: known.size, lengths };
}

/**
 * Characters of the most frequent run of 2, 3 and 4 words, with blanks between words, times its occurrences. Of equally frequent runs the first in the text
 * counts. The number of a run is made from that of the run without its last word, so that numbers are equal only for equal runs.
 */
function topCharacters({ ids, distinct, lengths }: WordTable): [number, number, number] {
  const found: number[] = [];
  let runs = ids;
  for (const size of topSizes) {
    const count = Math.max(0, ids.length - size + 1);
    const next = new Int32Array(count);
    const known = new Map<number, number>();
    const occurrences: number[] = [];
    const first: number[] = [];
    for (let i = 0; i < count; i++) {
      const key = (runs[i] ?? 0) * distinct + (ids[i + size - 1] ?? 0);
      let run = known.get(key);
      if (run === undefined) {
        run = known.size;
        known.set(key, run);
        occurrences.push(0);
        first.push(i);
      }
      occurrences[run] = (occurrences[run] ?? 0) + 1;
      next[i] = run;
    }
    runs = next;
    found.push(mostFrequent(occurrences, first, lengths, size));
  }
  const [two = 0, three = 0, four = 0] = found;
  return [two, three, four];
}

function mostFrequent(occurrences: readonly number[], first: readonly number[], lengths: Int32Array, size: number): number {
  let [top, times] = [0, 0];
  for (const [run, count] of occurrences.entries()) if (count > times) [top, times] = [first[run] ?? 0, count];
  if (times === 0) return 0;
  let characters = size - 1;
  for (let i = top; i < top + size; i++) characters += lengths[i] ?? 0;
  return characters * times;
}

/** The multiplier of the rolling hash; odd, so that powers stay invertible modulo 2^32. */
const base = 0x01000193;

/** Finds runs of words whose joined letters occurred before. Words are joined without blanks, as the published filter does. */
class RepeatedRuns {
  readonly #joined: string;
  /** Offsets of words in the joined text, in UTF-16 units; one more than words. */
  readonly #offsets: Int32Array;
  /** Code points before each word. */
  readonly #characters: Int32Array;
  /** Hash of the joined text before each word, and the power of the base for that length. */
  readonly #prefix: Int32Array;
  readonly #power: Int32Array;

  constructor(words: readonly string[], lengths: Int32Array) {
    this.#joined = words.join("");
    this.#offsets = new Int32Array(words.length + 1);
    this.#characters = new Int32Array(words.length + 1);
    this.#prefix = new Int32Array(words.length + 1);
    this.#power = new Int32Array(this.#joined.length + 1);
    let [offset, hash, power] = [0, 0, 1];
    this.#power[0] = 1;
    for (const [i, word] of words.entries()) {
      for (let j = 0; j < word.length; j++) {
        hash = (Math.imul(hash, base) + word.charCodeAt(j) + 1) | 0;
        power = Math.imul(power, base);
        this.#power[offset + j + 1] = power;
      }
      offset += word.length;
      this.#offsets[i + 1] = offset;
      this.#prefix[i + 1] = hash;
      this.#characters[i + 1] = (this.#characters[i] ?? 0) + (lengths[i] ?? 0);
    }
  }

  /** Characters of runs of `size` words that occurred before. A repeated run is skipped as a whole; a new one moves the window by one word. */
  characters(size: number): number {
    const last = this.#offsets.length - 1 - size;
    if (last < 0) return 0;
    const mask = (1 << (32 - Math.clz32(2 * (last + 1)))) - 1;
    /** Open addressing: the first word of a run, plus 1. */
    const slots = new Int32Array(mask + 1);
    let [repeated, i] = [0, 0];
    while (i <= last) {
      const isRepeated = this.#find(slots, mask, i, size);
      if (isRepeated) repeated += (this.#characters[i + size] ?? 0) - (this.#characters[i] ?? 0);
      i += isRepeated ? size : 1;
    }
    return repeated;
  }

  /** Whether the run is in the table; it is afterwards. */
  #find(slots: Int32Array, mask: number, run: number, size: number): boolean {
    const hash = this.#hash(run, size);
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const other = (slots[slot] ?? 0) - 1;
      if (other < 0) {
        slots[slot] = run + 1;
        return false;
      }
      if (this.#hash(other, size) === hash && this.#text(other, size) === this.#text(run, size)) return true;
    }
  }

  #hash(run: number, size: number): number {
    const [start = 0, end = 0] = [this.#offsets[run], this.#offsets[run + size]];
    return ((this.#prefix[run + size] ?? 0) - Math.imul(this.#prefix[run] ?? 0, this.#power[end - start] ?? 0)) | 0;
  }

  #text(run: number, size: number): string {
    return this.#joined.slice(this.#offsets[run], this.#offsets[run + size]);
  }
}
