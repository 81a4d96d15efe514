import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { formatOf } from "@lapidary/readers";
import { isSystemError, replaceFile } from "@lapidary/std";
import { z } from "zod";

/** Whole lines of a file, or the whole file. */
const range = z.object({ start: z.number(), end: z.number(), line: z.number(), sha256: z.string() });
export type FileRange = z.infer<typeof range>;

/** The same for a file that did not change. */
const entry = z.object({ stamp: z.string(), ranges: z.array(range) });
const stored = z.record(z.string(), entry);

/**
 * Digests of the files of sources. A file is read once: its size, times and number tell whether it changed. A large JSONL file
 * is divided into ranges of whole lines, so that lines that are appended change the last range alone.
 */
export class FileIndex {
  readonly #path: string;
  readonly #entries: Map<string, z.infer<typeof entry>>;
  #isChanged = false;

  /** @param path of the file with the digests; it may be absent */
  constructor(path: string) {
    this.#path = path;
    this.#entries = new Map(Object.entries(readEntries(path)));
  }

  /** @throws an error of the file system */
  async rangesOf(path: string, file: string, rangeBytes: number): Promise<readonly FileRange[]> {
    const { size, mtimeMs, ctimeMs, ino } = statSync(path);
    const isDivided = size > 1.5 * rangeBytes && /\.(jsonl|ndjson)$/i.test(file) && (await isPlainText(path));
    const stamp = [size, mtimeMs, ctimeMs, ino, isDivided ? rangeBytes : 0].join(" ");
    const known = this.#entries.get(path);
    if (known?.stamp === stamp) return known.ranges;
    const ranges = await digestRanges(path, isDivided ? rangeBytes : Number.POSITIVE_INFINITY);
    this.#entries.set(path, { stamp, ranges });
    this.#isChanged = true;
    return ranges;
  }

  save(): void {
    if (this.#isChanged) replaceFile(this.#path, JSON.stringify(Object.fromEntries(this.#entries)));
  }
}

/** A file that is absent or has another form is made again. */
function readEntries(path: string): z.infer<typeof stored> {
  try {
    return stored.safeParse(JSON.parse(readFileSync(path, "utf8"))).data ?? {};
  } catch (error) {
    if (isSystemError(error) || error instanceof SyntaxError) return {};
    throw error;
  }
}

/** Whether a file is text in UTF-8 without a byte order mark, so that a part of it can be read alone. */
async function isPlainText(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, 0);
    const head = buffer.subarray(0, bytesRead);
    return formatOf(head).kind === "text" && head[0] !== 0xef;
  } finally {
    await file.close();
  }
}

async function digestRanges(path: string, rangeBytes: number): Promise<FileRange[]> {
  const ranges: FileRange[] = [];
  let hash = createHash("sha256");
  let [start, line, lines, at] = [0, 1, 0, 0];
  const end = (offset: number): void => {
    ranges.push({ start, end: offset, line, sha256: hash.digest("hex") });
    hash = createHash("sha256");
    [start, line, lines] = [offset, line + lines, 0];
  };
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    let rest = chunk as Buffer;
    while (rangeBytes < Number.POSITIVE_INFINITY) {
      const wanted = Math.max(0, start + rangeBytes - at);
      const newline = wanted < rest.length ? rest.indexOf(0x0a, wanted) : -1;
      const taken = newline < 0 ? rest : rest.subarray(0, newline + 1);
      lines += countLines(taken);
      if (newline < 0) break;
      hash.update(taken);
      at += taken.length;
      rest = rest.subarray(taken.length);
      end(at);
    }
    hash.update(rest);
    at += rest.length;
  }
  if (at > start || ranges.length === 0) end(at);
  return ranges;
}

function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) count++;
  return count;
}
