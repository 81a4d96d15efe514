import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Maximum number of different words in memory: about 500 MB. */
const defaultMaxWords = 1 << 22;
const chunkBytes = 1 << 20;

export type WordCount = readonly [word: string, count: number];

/**
 * Counts words. If there are too many different words for the memory, their counts are in files of a temporary directory, each sorted by word, and
 * are merged when they are read.
 */
export class WordCounts {
  readonly #maxWords: number;
  readonly #files: string[] = [];
  #directory: string | undefined;
  #counts = new Map<string, { count: number }>();

  /** @param maxWords different words in memory */
  constructor(maxWords = defaultMaxWords) {
    this.#maxWords = maxWords;
  }

  /** @param word without line ends and spaces */
  add(word: string): void {
    const counter = this.#counts.get(word);
    if (counter !== undefined) {
      counter.count++;
      return;
    }
    // A copy, because a slice would keep the whole long text in memory.
    this.#counts.set(Buffer.from(word, "utf16le").toString("utf16le"), { count: 1 });
    if (this.#counts.size >= this.#maxWords) this.#spill();
  }

  /** Each word once with its count. */
  *entries(): Generator<WordCount> {
    if (this.#files.length === 0) for (const [word, { count }] of this.#counts) yield [word, count];
    else yield* mergedCounts([...this.#files.map(readCounts), this.#sorted().values()]);
  }

  /** Removes the files. */
  close(): void {
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
  }

  #spill(): void {
    this.#directory ??= mkdtempSync(join(tmpdir(), "lapidary-words-"));
    const path = join(this.#directory, String(this.#files.length));
    this.#files.push(path);
    const file = openSync(path, "wx", 0o600);
    let text = "";
    for (const [word, count] of this.#sorted()) {
      text += `${word} ${count}\n`;
      if (text.length < chunkBytes) continue;
      writeSync(file, text);
      text = "";
    }
    writeSync(file, text);
    closeSync(file);
    this.#counts = new Map();
  }

  #sorted(): WordCount[] {
    return Array.from(this.#counts, ([word, { count }]): WordCount => [word, count]).sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

function* readCounts(path: string): Generator<WordCount> {
  const file = openSync(path, "r");
  try {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    const chunk = Buffer.alloc(chunkBytes);
    let rest = "";
    for (let length = readSync(file, chunk); length > 0; length = readSync(file, chunk)) {
      const lines = (rest + decoder.decode(chunk.subarray(0, length), { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const end = line.lastIndexOf(" ");
        yield [line.slice(0, end), Number(line.slice(end + 1))];
      }
    }
  } finally {
    closeSync(file);
  }
}

/** Merges sorted lists and adds the counts of equal words. */
function* mergedCounts(lists: readonly Iterator<WordCount>[]): Generator<WordCount> {
  const heads = lists.map((list) => list.next());
  for (;;) {
    let least: string | undefined;
    for (const { done, value } of heads) if (done !== true && (least === undefined || value[0] < least)) least = value[0];
    if (least === undefined) return;
    let count = 0;
    for (const [i, { done, value }] of heads.entries()) {
      if (done === true || value[0] !== least) continue;
      count += value[1];
      heads[i] = lists[i]?.next() ?? { done: true, value: undefined };
    }
    yield [least, count];
  }
}
