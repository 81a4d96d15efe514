/** Bytes [start, end). */
export type Span = readonly [start: number, end: number];

/** The multiplier of the rolling hash modulo 2³²; odd. */
const base = 0x01000193;

/**
 * For each document the bytes that lie in a window of `size` bytes that occurs twice or more, in one document or in several. Windows that overlap or touch
 * are one span.
 *
 * Windows are found by a rolling hash and compared byte by byte, so the result is exact. Memory: 8 bytes for each window, and the texts.
 */
export function repeatedWindows(documents: readonly Uint8Array[], size: number): Span[][] {
  const table = new WindowTable(documents, size);
  const repeated = documents.map(() => [] as number[]);
  for (const [document, bytes] of documents.entries())
    for (const { start, hash } of windowHashes(bytes, size)) {
      const first = table.find(document, start, hash);
      if (first === undefined) continue;
      repeated[document]?.push(start);
      repeated[first.document]?.push(first.start);
    }
  return repeated.map((starts) => spansOf(starts, size));
}

function* windowHashes(bytes: Uint8Array, size: number): Generator<{ readonly start: number; readonly hash: number }> {
  let [hash, power] = [0, 1];
  for (let i = 0; i < size; i++) power = Math.imul(power, base);
  for (let end = 1; end <= bytes.length; end++) {
    const leaving = end > size ? (bytes[end - 1 - size] ?? 0) + 1 : 0;
    hash = (Math.imul(hash, base) + (bytes[end - 1] ?? 0) + 1 - Math.imul(power, leaving)) | 0;
    if (end >= size) yield { start: end - size, hash };
  }
}

/** Open addressing over the first occurrence of each window. */
class WindowTable {
  readonly #documents: readonly Uint8Array[];
  readonly #size: number;
  readonly #mask: number;
  /** Number of a document plus 1, and the start of the window in it. */
  readonly #document: Int32Array;
  readonly #start: Int32Array;

  constructor(documents: readonly Uint8Array[], size: number) {
    const windows = documents.reduce((sum, { length }) => sum + Math.max(0, length - size + 1), 0);
    this.#documents = documents;
    this.#size = size;
    this.#mask = 2 ** Math.ceil(Math.log2(2 * windows + 2)) - 1;
    this.#document = new Int32Array(this.#mask + 1);
    this.#start = new Int32Array(this.#mask + 1);
  }

  /** The first occurrence of an equal window; undefined if this one is the first, which the table then holds. */
  find(document: number, start: number, hash: number): { readonly document: number; readonly start: number } | undefined {
    for (let slot = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const other = (this.#document[slot] ?? 0) - 1;
      const otherStart = this.#start[slot] ?? 0;
      if (other < 0) {
        this.#document[slot] = document + 1;
        this.#start[slot] = start;
        return undefined;
      }
      if (this.#isEqual(document, start, other, otherStart)) return { document: other, start: otherStart };
    }
  }

  #isEqual(a: number, aStart: number, b: number, bStart: number): boolean {
    const [first, second] = [this.#documents[a], this.#documents[b]];
    for (let i = 0; i < this.#size; i++) if (first?.[aStart + i] !== second?.[bStart + i]) return false;
    return true;
  }
}

function spansOf(starts: readonly number[], size: number): Span[] {
  const spans: [number, number][] = [];
  for (const start of starts.toSorted((a, b) => a - b)) {
    const last = spans.at(-1);
    if (last !== undefined && start <= last[1]) last[1] = start + size;
    else spans.push([start, start + size]);
  }
  return spans;
}
