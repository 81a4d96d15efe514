import { duplicatesOf, type LineCounts } from "./lines.js";
import { strip } from "./python-text.js";
import { base, slotMask, slotOf, type WordList } from "./word-list.js";

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

/** Measures repetition. The tables of a text are used again for the next. */
export class RepetitionMeter {
  /** Of runs that begin at each word: the number of the run, which is equal for equal runs. */
  #runs = new Int32Array(0);
  /** Of each different run: its occurrences and its first word. */
  #occurrences = new Int32Array(0);
  #first = new Int32Array(0);
  /** Open addressing: two parts of a key and the value plus 1; or a hash and the first word of a run plus 1. */
  #keys = new Int32Array(0);
  #others = new Int32Array(0);
  #values = new Int32Array(0);
  /** Code points and hash of the joined words before each word. */
  #characters = new Int32Array(0);
  #prefix = new Int32Array(0);
  /** The base to the power of each length. */
  #powers = Int32Array.of(1);

  measure(text: string, words: WordList, lines: LineCounts): RepetitionMeasures {
    this.#reserve(words);
    const characters = words.textCharacters;
    const stripped = strip(text);
    const paragraphs = stripped.includes("\n\n") ? stripped.split(/\n{2,}/) : [stripped];
    const byParagraph = duplicatesOf(paragraphs);
    const empty = emptyLines(text);
    const [top2, top3, top4] = this.#topCharacters(words);
    this.#readPrefixes(words);
    const share = (n: number): number => this.#repeatedCharacters(words, n) / characters;
    return {
      "repetition.paragraphs": byParagraph.count / paragraphs.length,
      "repetition.paragraph_characters": byParagraph.characters / characters,
      "repetition.lines": (lines.duplicates + Math.max(0, empty - 1)) / (lines.lines + empty),
      "repetition.line_characters": lines.duplicateCharacters / characters,
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

  /**
   * Characters of the most frequent run of 2, 3 and 4 words, with blanks between words, times its occurrences. Of equally frequent runs the first in the
   * text counts. The number of a run is made from that of the run without its last word, so that numbers are equal only for equal runs.
   */
  #topCharacters(words: WordList): [number, number, number] {
    this.#runs.set(words.ids.subarray(0, words.count));
    const found = topSizes.map((size) => {
      const distinct = this.#countRuns(words, size);
      let [top, times] = [0, 0];
      for (let run = 0; run < distinct; run++) {
        const count = this.#occurrences[run] ?? 0;
        if (count > times) [top, times] = [this.#first[run] ?? 0, count];
      }
      if (times === 0) return 0;
      let characters = size - 1;
      for (let i = top; i < top + size; i++) characters += words.characters[words.ids[i] ?? 0] ?? 0;
      return characters * times;
    });
    const [two = 0, three = 0, four = 0] = found;
    return [two, three, four];
  }

  /** Numbers the runs of `size` words from those of one word less. Returns how many differ. */
  #countRuns({ ids, count }: WordList, size: number): number {
    const [runs, keys, others, values, occurrences, first] = [
      this.#runs,
      this.#keys,
      this.#others,
      this.#values,
      this.#occurrences,
      this.#first,
    ];
    const starts = Math.max(0, count - size + 1);
    const mask = this.#clear(starts);
    let distinct = 0;
    for (let i = 0; i < starts; i++) {
      const [run, last] = [runs[i] ?? 0, ids[i + size - 1] ?? 0];
      let slot = slotOf(Math.imul(run, base) + Math.imul(last, 0x9e3779b1)) & mask;
      let value = (values[slot] ?? 0) - 1;
      while (value >= 0 && (keys[slot] !== run || others[slot] !== last)) {
        slot = (slot + 1) & mask;
        value = (values[slot] ?? 0) - 1;
      }
      if (value < 0) {
        value = distinct++;
        keys[slot] = run;
        others[slot] = last;
        values[slot] = value + 1;
        occurrences[value] = 1;
        first[value] = i;
      } else occurrences[value] = (occurrences[value] ?? 0) + 1;
      runs[i] = value;
    }
    return distinct;
  }

  #readPrefixes({ ids, offsets, count, hashes, characters }: WordList): void {
    const [prefix, before, powers] = [this.#prefix, this.#characters, this.#powers];
    let [hash, sum] = [0, 0];
    for (let i = 0; i < count; i++) {
      const id = ids[i] ?? 0;
      const length = (offsets[i + 1] ?? 0) - (offsets[i] ?? 0);
      hash = (Math.imul(hash, powers[length] ?? 0) + (hashes[id] ?? 0)) | 0;
      sum += characters[id] ?? 0;
      prefix[i + 1] = hash;
      before[i + 1] = sum;
    }
  }

  /**
   * Characters of runs of `size` words whose joined letters occurred before. Words are joined without blanks, as the published filter does. A repeated run
   * is skipped as a whole; a new one moves the window by one word.
   */
  #repeatedCharacters(words: WordList, size: number): number {
    const [prefix, before, powers, hashes, values] = [this.#prefix, this.#characters, this.#powers, this.#keys, this.#values];
    const { offsets } = words;
    const last = words.count - size;
    const mask = this.#clear(last + 1);
    let repeated = 0;
    for (let run = 0; run <= last; ) {
      const length = (offsets[run + size] ?? 0) - (offsets[run] ?? 0);
      const hash = ((prefix[run + size] ?? 0) - Math.imul(prefix[run] ?? 0, powers[length] ?? 0)) | 0;
      let slot = slotOf(hash) & mask;
      let other = (values[slot] ?? 0) - 1;
      while (other >= 0 && (hashes[slot] !== hash || !isEqualRun(words, run, other, size))) {
        slot = (slot + 1) & mask;
        other = (values[slot] ?? 0) - 1;
      }
      if (other >= 0) {
        repeated += (before[run + size] ?? 0) - (before[run] ?? 0);
        run += size;
      } else {
        hashes[slot] = hash;
        values[slot] = ++run;
      }
    }
    return repeated;
  }

  /** Empties a table for a number of entries. Returns its greatest slot. */
  #clear(entries: number): number {
    const mask = slotMask(Math.max(1, entries));
    this.#values.fill(0, 0, mask + 1);
    return mask;
  }

  #reserve({ count, offsets }: WordList): void {
    if (this.#runs.length <= count) {
      const size = 2 * count + 256;
      [this.#runs, this.#occurrences, this.#first] = [new Int32Array(size), new Int32Array(size), new Int32Array(size)];
      [this.#characters, this.#prefix] = [new Int32Array(size), new Int32Array(size)];
      const slots = slotMask(size) + 1;
      [this.#keys, this.#others, this.#values] = [new Int32Array(slots), new Int32Array(slots), new Int32Array(slots)];
    }
    const units = offsets[count] ?? 0;
    if (this.#powers.length > units) return;
    const powers = new Int32Array(2 * units + 256).fill(1);
    for (let i = 1; i < powers.length; i++) powers[i] = Math.imul(powers[i - 1] ?? 1, base);
    this.#powers = powers;
  }
}

/** The letters of both runs are equal. */
function isEqualRun({ joined, offsets }: WordList, a: number, b: number, size: number): boolean {
  const [start = 0, end = 0, other = 0] = [offsets[a], offsets[a + size], offsets[b]];
  if ((offsets[b + size] ?? 0) - other !== end - start) return false;
  for (let i = start, j = other; i < end; i++, j++) if (joined[i] !== joined[j]) return false;
  return true;
}

/** Empty parts of the text between runs of line feeds: before the first and after the last. */
function emptyLines(text: string): number {
  if (text === "") return 1;
  return Number(text.startsWith("\n")) + Number(text.endsWith("\n"));
}
