import { createHash } from "node:crypto";

/** One text of a corpus: the text between `<bos>` and `<eos>`. */
export interface Document {
  /** The source, for users: a path, a path and line, or a path and part. */
  readonly source: string;
  readonly text: string;
  /** Documents that share text have one group. The held-out split never divides a group. */
  readonly group: number;
}

/** The documents of a corpus, and the numbers of skipped files or texts. */
export interface Corpus {
  readonly documents: readonly Document[];
  /** The number of skipped files or texts, by reason. */
  readonly skipped: Readonly<Record<string, number>>;
}

/** Counts skipped files and texts by reason. */
export class SkippedDocuments {
  readonly #counts: Map<string, number>;

  /** @param before counts to start from */
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

/** The counts as text: `3 hidden, 1 binary`. The empty string if nothing was skipped. */
export function skippedText(skipped: Readonly<Record<string, number>>): string {
  return Object.entries(skipped)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(", ");
}

/** SHA-256 of a text in hex. */
export function contentHash(text: string): string {
  return createHash("sha256").update(text, "utf16le").digest("hex");
}
