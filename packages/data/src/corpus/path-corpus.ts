import { readdirSync, type Stats, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { suggest } from "@lapidary/std";
import { corpusPattern, corpusTooLarge, emptyCorpus, missingCorpus, unreadable } from "../data-errors.js";
import { type CorpusFile, isJsonLines, readFile, refuseJsonValue, whyNoText } from "./corpus-file.js";
import { type Corpus, LeftOut, leftOutText } from "./document.js";
import { readJsonLines } from "./jsonl.js";
import { NearDuplicates } from "./near-duplicates.js";
import { cutIntoDocuments, DocumentCutter } from "./pieces.js";
import { type Unpacked, unpacked } from "./unpack.js";
import { isDecodedInParts, textParts } from "./text-parts.js";
import { walkFiles, walkWithLinks } from "./walk.js";

/** More than this is not held in memory. */
const largestCorpusBytes = 2 ** 30;
/** A file of a directory is one document up to twice so many characters. */
const directoryPiece = 32_768;
/** A lone file is cut into documents of at most so many characters, or twice that. */
const longestPiece = 8192;

export interface PathCorpusOptions {
  /** The field of a JSONL object that holds the text. */
  readonly textField: string;
  /** Called now and then with the bytes read so far. */
  readonly onProgress?: (bytes: number, totalBytes: number) => void;
}

export interface ListOptions {
  /** Counts what below the path is left out. */
  readonly leftOut?: LeftOut;
  /** Whether to follow symbolic links; true by default. */
  readonly links?: boolean;
}

/**
 * The files that a path names: itself, or all files below it and behind links in it, but those under dot names and `node_modules`.
 *
 * @throws LapidaryError `LAP_DATA_MISSING` with the near name, `LAP_DATA_UNREADABLE`, `LAP_DATA_EMPTY`, `LAP_DATA_TOO_LARGE`
 */
export function listCorpusFiles(path: string, { leftOut = new LeftOut(), links = true }: ListOptions = {}): readonly CorpusFile[] {
  const stats = statOf(path);
  if (!stats.isFile() && !stats.isDirectory()) throw unreadable(path, "it is neither a file nor a directory");
  const file = (source: string, at: string, { size, mtimeMs }: Stats): CorpusFile => ({
    source,
    path: at,
    bytes: size,
    modified_ms: mtimeMs,
  });
  const enter = (directory: string): boolean => basename(directory) !== "node_modules";
  const below = (): readonly string[] =>
    links ? walkWithLinks(path, enter, (reason) => leftOut.count(reason)) : [...walkFiles(path, enter)];
  const files = stats.isDirectory()
    ? below().map((name) => file(name, join(path, name), statOf(join(path, name))))
    : [file(basename(path), path, stats)];
  const bytes = files.reduce((sum, each) => sum + each.bytes, 0);
  if (files.length === 0) throw emptyCorpus(path, "the directory holds no files", leftOutText(leftOut.toJSON()));
  if (bytes > largestCorpusBytes) throw corpusTooLarge(path, bytes, largestCorpusBytes);
  return files;
}

/** Whether a path is a file that is the whole corpus. */
export const isLone = (path: string, files: readonly CorpusFile[]): boolean => files.length === 1 && files[0]?.path === path;

/**
 * A user's own corpus, taken as it is: a JSONL file is one document a line, the files of a directory are documents, and a
 * text file is cut into documents at empty lines. gzip is read as if it were unpacked. What is not text in a directory is passed
 * over and counted.
 *
 * @param path names the corpus in errors
 * @throws LapidaryError `LAP_DATA_NOT_UTF8`, `LAP_DATA_JSONL`, `LAP_DATA_UNREADABLE`, `LAP_DATA_EMPTY`, `LAP_DATA_FORMAT`,
 * `LAP_DATA_BINARY`, `LAP_DATA_DAMAGED`, `LAP_DATA_TOO_LARGE`
 */
export function readPathCorpus(path: string, files: readonly CorpusFile[], { textField, onProgress }: PathCorpusOptions): Corpus {
  const totalBytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const lone = isLone(path, files);
  const leftOut = new LeftOut();
  const texts: { source: string; text: string }[] = [];
  let bytes = 0;
  let unpackedBytes = 0;
  for (const file of files) {
    const raw = lone ? readFile(file.path) : readOr(file.path, leftOut);
    bytes += file.bytes;
    if (raw !== undefined) {
      const content = unpacked(raw, file.path, largestCorpusBytes - unpackedBytes);
      unpackedBytes += content.bytes.length;
      const reason = whyNoText(content, file.path, lone);
      if (reason !== undefined) leftOut.count(reason);
      else
        for (const { source, text } of documentsOf(file, content, lone, textField))
          if (text === undefined) leftOut.count("null instead of text");
          else if (text.trim() === "") leftOut.count("blank");
          else texts.push({ source, text });
    }
    onProgress?.(bytes, totalBytes);
  }
  if (texts.length === 0)
    throw emptyCorpus(path, lone ? "the file holds no text" : "none of its files holds text", leftOutText(leftOut.toJSON()));
  return { documents: grouped(texts, Math.max(totalBytes, unpackedBytes)), leftOut: leftOut.toJSON() };
}

function readOr(path: string, leftOut: LeftOut): Buffer | undefined {
  try {
    return readFile(path);
  } catch {
    leftOut.count("file that cannot be read");
    return undefined;
  }
}

interface Piece {
  readonly source: string;
  readonly text: string | undefined;
}

function* documentsOf(file: CorpusFile, content: Unpacked, lone: boolean, textField: string): Generator<Piece> {
  if (isJsonLines(content, textField)) {
    for (const { line, text } of readJsonLines(content.bytes, file.path, textField)) yield { source: `${file.source}:${line}`, text };
    return;
  }
  if (lone) refuseJsonValue(content, file.path);
  if (isDecodedInParts(content.bytes.length)) {
    yield* piecesOf(file, content, lone ? longestPiece : directoryPiece);
    return;
  }
  const text = [...textParts(content.bytes, file.path)].join("");
  // A lone file must give enough documents that some can be held out, however small it is.
  const parts = cutIntoDocuments(text, lone ? Math.min(longestPiece, Math.max(256, Math.floor(text.length / 64))) : directoryPiece);
  for (const [at, part] of parts.entries()) yield { source: parts.length === 1 ? file.source : `${file.source}#${at + 1}`, text: part };
}

/** A long text, which has many pieces, and which may be longer than a string can be. */
function* piecesOf(file: CorpusFile, { bytes }: Unpacked, target: number): Generator<Piece> {
  const cutter = new DocumentCutter(target);
  let number = 1;
  for (const part of textParts(bytes, file.path))
    for (const text of cutter.push(part)) yield { source: `${file.source}#${number++}`, text };
  for (const text of cutter.end()) yield { source: `${file.source}#${number++}`, text };
}

function grouped(texts: readonly { source: string; text: string }[], totalBytes: number): Corpus["documents"] {
  const seen = new NearDuplicates(totalBytes);
  const numbers = texts.map(({ text }) => seen.add(seen.shingles(text)));
  return texts.map(({ source, text }, at) => ({ source, text, group: seen.group(numbers[at] ?? at) }));
}

function statOf(path: string): Stats {
  const stats = attempt(path, () => statSync(path, { throwIfNoEntry: false }));
  if (stats !== undefined) return stats;
  if (/[*?]/.test(path)) throw corpusPattern(path);
  const parent = dirname(path);
  const beside = statSync(parent, { throwIfNoEntry: false })?.isDirectory() === true ? attempt(parent, () => readdirSync(parent)) : [];
  const near = beside.find((name) => name.normalize("NFC") === basename(path).normalize("NFC")) ?? suggest(basename(path), beside);
  throw missingCorpus(path, near === undefined ? undefined : join(parent, near));
}

function attempt<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}
