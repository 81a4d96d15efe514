import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { type S3Access, S3Source } from "@lapidary/data-store";
import { formatOf } from "@lapidary/readers";
import { isSystemError, replaceFile } from "@lapidary/std";
import { z } from "zod";
import type { SourceFile } from "./list-files.js";

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
  async rangesOf(source: SourceFile, rangeBytes: number, s3?: S3Access): Promise<readonly FileRange[]> {
    const { path, file } = source;
    const { bytes, state, read } = contentOf(source, s3);
    const isDivided = bytes > 1.5 * rangeBytes && /\.(jsonl|ndjson)$/i.test(file) && (await isPlainText(read(512)));
    const stamp = [bytes, state, isDivided ? rangeBytes : 0].join(" ");
    const known = this.#entries.get(path);
    if (known?.stamp === stamp) return known.ranges;
    const ranges = await digestRanges(read(bytes), isDivided ? rangeBytes : Number.POSITIVE_INFINITY);
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

interface Content {
  readonly bytes: number;
  /** Changes when the content changes. */
  readonly state: string;
  /** The first bytes, at most all. */
  read(bytes: number): AsyncIterable<Buffer>;
}

function contentOf({ path, remote }: SourceFile, s3: S3Access | undefined): Content {
  if (remote !== undefined) {
    const source = new S3Source(s3, path);
    return { bytes: remote.bytes, state: remote.stamp, read: (bytes) => source.read(path, [0, Math.min(bytes, remote.bytes)]) };
  }
  const { size, mtimeMs, ctimeMs, ino } = statSync(path);
  const read = (bytes: number): AsyncIterable<Buffer> =>
    bytes === size ? createReadStream(path, { highWaterMark: 1 << 20 }) : createReadStream(path, { end: Math.max(0, bytes - 1) });
  return { bytes: size, state: [mtimeMs, ctimeMs, ino].join(" "), read };
}

/** Whether a file is text in UTF-8 without a byte order mark, so that a part of it can be read alone. */
async function isPlainText(first: AsyncIterable<Buffer>): Promise<boolean> {
  const chunks: Buffer[] = [];
  for await (const chunk of first) chunks.push(chunk);
  const head = Buffer.concat(chunks);
  return formatOf(head).kind === "text" && head[0] !== 0xef;
}

async function digestRanges(content: AsyncIterable<Buffer>, rangeBytes: number): Promise<FileRange[]> {
  const ranges: FileRange[] = [];
  let hash = createHash("sha256");
  let [start, line, lines, at] = [0, 1, 0, 0];
  const end = (offset: number): void => {
    ranges.push({ start, end: offset, line, sha256: hash.digest("hex") });
    hash = createHash("sha256");
    [start, line, lines] = [offset, line + lines, 0];
  };
  for await (const chunk of content) {
    let rest = chunk;
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
