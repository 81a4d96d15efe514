import { readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { suggest } from "@lapidary/std";
import { corpusTooLarge, emptyCorpus, missingCorpus, unreadable } from "../data-errors.js";
import { type Corpus, LeftOut } from "./document.js";
import { readJsonLines } from "./jsonl.js";
import { NearDuplicates } from "./near-duplicates.js";
import { cutIntoDocuments } from "./pieces.js";
import { decodeUtf8, looksBinary } from "./utf8.js";
import { walkFiles } from "./walk.js";

/** More than this is not held in memory. */
const largestCorpusBytes = 2 ** 30;
/** A file of a directory is one document up to twice so many characters. */
const directoryPiece = 32_768;

export interface PathCorpusOptions {
  /** The field of a JSONL object that holds the text. */
  readonly textField: string;
  /** Called now and then with the bytes read so far. */
  readonly onProgress?: (bytes: number, totalBytes: number) => void;
}

/** A file of a corpus: what it is called, where it lies, and what tells that it changed. */
export interface CorpusFile {
  readonly source: string;
  readonly path: string;
  readonly bytes: number;
  readonly modified_ms: number;
}

/**
 * The files that a path names: itself, or all files below it but those under dot names and `node_modules`.
 *
 * @throws LapidaryError `LAP_DATA_MISSING` with the near name, `LAP_DATA_UNREADABLE`, `LAP_DATA_EMPTY`, `LAP_DATA_TOO_LARGE`
 */
export function listCorpusFiles(path: string): readonly CorpusFile[] {
  const stats = statOf(path);
  if (!stats.isFile() && !stats.isDirectory()) throw unreadable(path, "it is neither a file nor a directory");
  const file = (source: string, at: string, { size, mtimeMs }: Stats): CorpusFile => ({
    source,
    path: at,
    bytes: size,
    modified_ms: mtimeMs,
  });
  const files = stats.isDirectory()
    ? [...walkFiles(path, (directory) => basename(directory) !== "node_modules")].map((name) =>
        file(name, join(path, name), statOf(join(path, name))),
      )
    : [file(basename(path), path, stats)];
  const bytes = files.reduce((sum, each) => sum + each.bytes, 0);
  if (files.length === 0) throw emptyCorpus(path, "the directory holds no files");
  if (bytes > largestCorpusBytes) throw corpusTooLarge(path, bytes, largestCorpusBytes);
  return files;
}

/**
 * A user's own corpus, taken as it is: a JSONL file is one document a line, the files of a directory are documents, and a
 * text file is cut into documents at empty lines. Binary files in a directory are passed over and counted.
 *
 * @param path names the corpus in errors
 * @throws LapidaryError `LAP_DATA_NOT_UTF8`, `LAP_DATA_JSONL`, `LAP_DATA_UNREADABLE`, `LAP_DATA_EMPTY`
 */
export function readPathCorpus(path: string, files: readonly CorpusFile[], { textField, onProgress }: PathCorpusOptions): Corpus {
  const totalBytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const single = files.length === 1 && files[0]?.path === path;
  const leftOut = new LeftOut();
  const texts: { source: string; text: string }[] = [];
  let bytes = 0;
  for (const file of files) {
    const raw = read(file.path);
    bytes += raw.length;
    if (!single && looksBinary(raw)) leftOut.count("binary");
    else
      for (const { source, text } of documentsOf(file, raw, single, textField))
        if (text.trim() === "") leftOut.count("blank");
        else texts.push({ source, text });
    onProgress?.(bytes, totalBytes);
  }
  if (texts.length === 0) throw emptyCorpus(path, single ? "the file holds no text" : "none of its files holds text");
  return { documents: grouped(texts, totalBytes), leftOut: leftOut.toJSON() };
}

function* documentsOf(file: CorpusFile, raw: Buffer, single: boolean, textField: string): Generator<{ source: string; text: string }> {
  if (/\.(jsonl|ndjson)$/i.test(file.path)) {
    for (const { line, text } of readJsonLines(raw, file.path, textField)) yield { source: `${file.source}:${line}`, text };
    return;
  }
  const text = decodeUtf8(raw, file.path);
  // A lone file must give enough documents that some can be held out, however small it is.
  const parts = cutIntoDocuments(text, single ? Math.min(8192, Math.max(256, Math.floor(text.length / 64))) : directoryPiece);
  for (const [at, part] of parts.entries()) yield { source: parts.length === 1 ? file.source : `${file.source}#${at + 1}`, text: part };
}

function grouped(texts: readonly { source: string; text: string }[], totalBytes: number): Corpus["documents"] {
  const seen = new NearDuplicates(totalBytes);
  const numbers = texts.map(({ text }) => seen.add(seen.shingles(text)));
  return texts.map(({ source, text }, at) => ({ source, text, group: seen.group(numbers[at] ?? at) }));
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function statOf(path: string): Stats {
  const stats = attempt(path, () => statSync(path, { throwIfNoEntry: false }));
  if (stats !== undefined) return stats;
  const parent = dirname(path);
  const beside = statSync(parent, { throwIfNoEntry: false })?.isDirectory() === true ? attempt(parent, () => readdirSync(parent)) : [];
  const near = suggest(basename(path), beside);
  throw missingCorpus(path, near === undefined ? undefined : join(parent, near));
}

function attempt<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}
