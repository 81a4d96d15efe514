import { ensure } from "@lapidary/std";
import type { LabelledDocument } from "./layout-classifier.js";

const buckets = 1 << 18;
const longestRun = 4;
/** Added to every count, so that a run that a language does not have is improbable and not impossible. */
const smoothing = 0.02;
/** Characters of a text that count. */
const maxCharacters = 4000;

/** The row of a run that no document of the training has. */
const noRow = -1;

/** Naive Bayes on runs of 1 to 4 characters (Cavnar and Trenkle 1994 use the same runs). Code can be a language among others. */
export class LanguageClassifier {
  readonly #labels: readonly string[];
  readonly #runs = new CharacterRuns();
  /** The row of each bucket in `#logs`. Runs that the training does not have are frequent in texts, and have no row. */
  readonly #rows: Int32Array;
  /** For each row the logarithms of the probability of its run, one for each label. */
  readonly #logs: Float32Array;
  /** The same of a run without a row. */
  readonly #unseen: Float32Array;
  readonly #scores: Float64Array;

  constructor(documents: readonly LabelledDocument[]) {
    this.#labels = [...new Set(documents.map(({ label }) => label))].sort();
    const labels = this.#labels.length;
    const counts = this.#labels.map((label) => this.#count(documents.filter((each) => each.label === label)));
    this.#rows = rowsOf(counts);
    this.#logs = new Float32Array(labels * (1 + this.#rows.reduce((last, row) => Math.max(last, row), noRow)));
    this.#unseen = new Float32Array(labels);
    this.#scores = new Float64Array(labels);
    for (const [label, { byBucket, total }] of counts.entries()) {
      this.#unseen[label] = Math.log(Math.fround(smoothing) / total);
      for (const [bucket, row] of this.#rows.entries())
        if (row !== noRow) this.#logs[row * labels + label] = Math.log((byBucket[bucket] ?? 0) / total);
    }
  }

  classify(text: string): string {
    const [runs, scores, labels, logs, rows] = [this.#runs.of(text), this.#scores, this.#labels.length, this.#logs, this.#rows];
    let unseen = 0;
    scores.fill(0);
    for (let i = 0; i < runs.distinct; i++) {
      const bucket = runs.buckets[i] ?? 0;
      const times = runs.times[bucket] ?? 0;
      const row = rows[bucket] ?? noRow;
      if (row === noRow) unseen += times;
      else
        for (let label = 0, at = row * labels; label < labels; label++, at++)
          scores[label] = (scores[label] ?? 0) + times * (logs[at] ?? 0);
    }
    for (let label = 0; label < labels; label++) scores[label] = (scores[label] ?? 0) + unseen * (this.#unseen[label] ?? 0);
    return ensure(this.#labels[scores.indexOf(Math.max(...scores))], "label");
  }

  #count(documents: readonly LabelledDocument[]): LabelCounts {
    const byBucket = new Float32Array(buckets).fill(smoothing);
    let total = smoothing * buckets;
    for (const { text } of documents) {
      const runs = this.#runs.of(text);
      for (let i = 0; i < runs.distinct; i++) {
        const bucket = runs.buckets[i] ?? 0;
        const times = runs.times[bucket] ?? 0;
        byBucket[bucket] = (byBucket[bucket] ?? 0) + times;
        total += times;
      }
    }
    return { byBucket, total };
  }
}

interface LabelCounts {
  readonly byBucket: Float32Array;
  readonly total: number;
}

/** A row for each bucket that a label has. */
function rowsOf(counts: readonly LabelCounts[]): Int32Array {
  const rows = new Int32Array(buckets).fill(noRow);
  let count = 0;
  for (let bucket = 0; bucket < buckets; bucket++) if (counts.some(({ byBucket }) => (byBucket[bucket] ?? 0) > 1)) rows[bucket] = count++;
  return rows;
}

const blank = 0x20;
const zero = 0x30;

/** The different runs of 1 to 4 characters of a text. Case is kept, digits are `0`, and white space is one blank. */
class CharacterRuns {
  /** The code point that counts in place of each UTF-16 unit. */
  readonly #plain = Int32Array.from({ length: 0x10000 }, (_, unit) => plainOf(unit));
  readonly #characters = new Int32Array(maxCharacters + 2);
  /** How often each bucket occurs in the text. */
  readonly times = new Uint16Array(buckets);
  /** The buckets that occur, in order of their first run. */
  readonly buckets = new Int32Array((maxCharacters + 2) * longestRun);
  distinct = 0;

  /** This object with the runs of another text. */
  of(text: string): this {
    const count = this.#readCharacters(text);
    const [characters, times, found] = [this.#characters, this.times, this.buckets];
    for (let i = 0; i < this.distinct; i++) times[found[i] ?? 0] = 0;
    let distinct = 0;
    for (let start = 0; start < count; start++) {
      const last = Math.min(count, start + longestRun);
      let hash = 0x811c9dc5;
      for (let end = start; end < last; end++) {
        hash = Math.imul(hash ^ (characters[end] ?? 0), 0x01000193);
        hash ^= hash >>> 15;
        const bucket = hash & (buckets - 1);
        const before = times[bucket] ?? 0;
        if (before === 0) found[distinct++] = bucket;
        times[bucket] = before + 1;
      }
    }
    this.distinct = distinct;
    return this;
  }

  /** Code points of the text between two blanks. */
  #readCharacters(text: string): number {
    const [plain, characters] = [this.#plain, this.#characters];
    const length = Math.min(text.length, maxCharacters);
    let count = 0;
    characters[count++] = blank;
    for (let at = 0; at < length; at++) {
      const unit = text.charCodeAt(at);
      let character = plain[unit] ?? 0;
      if ((unit & 0xfc00) === 0xd800 && at + 1 < length) {
        const codePoint = text.codePointAt(at) ?? unit;
        if (codePoint > 0xffff) {
          at++;
          character = plainOf(codePoint);
        }
      }
      if (character !== blank || characters[count - 1] !== blank) characters[count++] = character;
    }
    if (characters[count - 1] !== blank) characters[count++] = blank;
    return count;
  }
}

function plainOf(codePoint: number): number {
  const character = String.fromCodePoint(codePoint);
  if (/\s/u.test(character)) return blank;
  return /\p{Nd}/u.test(character) ? zero : codePoint;
}
