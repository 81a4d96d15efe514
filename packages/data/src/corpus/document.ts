import { createHash } from "node:crypto";

/** One text of a corpus: what stands between `<bos>` and `<eos>`. */
export interface Document {
  /** Where it comes from, for people: a path, a path and line, a path and part. */
  readonly source: string;
  readonly text: string;
  /** Documents that share text have one group, and the split into training and held-out never parts a group. */
  readonly group: number;
}

/** What reading a corpus gives. */
export interface Corpus {
  readonly documents: readonly Document[];
  /** How many files or texts were left out, by reason. */
  readonly leftOut: Readonly<Record<string, number>>;
}

/** Counts what is left out and why. */
export class LeftOut {
  readonly #counts: Map<string, number>;

  /** @param before what was left out already */
  constructor(before: Readonly<Record<string, number>> = {}) {
    this.#counts = new Map(Object.entries(before));
  }

  count(reason: string): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

/** What was left out, for people: `3 hidden, 1 binary`; the empty string where nothing was. */
export function leftOutText(leftOut: Readonly<Record<string, number>>): string {
  return Object.entries(leftOut)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(", ");
}

/** SHA-256 of a text in hex. */
export function contentHash(text: string): string {
  return createHash("sha256").update(text, "utf16le").digest("hex");
}
