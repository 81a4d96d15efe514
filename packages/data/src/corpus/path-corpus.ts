import { emptyCorpus } from "../data-errors.js";
import { type Corpus, SkippedDocuments } from "./document.js";
import { jsonForm, readJsonArray, readJsonLines } from "./jsonl.js";
import type { CorpusListing } from "./list-files.js";
import { NearDuplicates } from "./near-duplicates.js";
import { splitIntoDocuments } from "./split-text.js";
import { type CorpusText, readCorpusText, refuseJsonValue } from "./read-text.js";
import { decodeUtf8 } from "./utf8.js";

/** A file of a directory is one document if it has at most twice this many characters. */
const directoryDocumentCharacters = 32_768;

export interface PathCorpusOptions {
  /** The field of a JSONL object with the text. */
  readonly textField: string;
  /** Called repeatedly with the number of bytes read so far. */
  readonly onProgress?: (bytes: number, totalBytes: number) => void;
}

/**
 * Reads a user's own corpus without cleaning. Each JSON line is a document, each file of a directory is a document, and a
 * single text file is split into documents at empty lines. The first bytes of a file decide its format. Files of a directory
 * without text are skipped and counted.
 *
 * @param path names the corpus in errors
 * @throws LapidaryError `LAP_DATA_NOT_UTF8`, `LAP_DATA_NOT_TEXT`, `LAP_DATA_JSONL`, `LAP_DATA_UNREADABLE`, `LAP_DATA_EMPTY`
 */
export function readPathCorpus(
  path: string,
  { files, skipped: skippedFiles }: CorpusListing,
  { textField, onProgress }: PathCorpusOptions,
): Corpus {
  const totalBytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const single = files.length === 1 && files[0]?.path === path;
  const skipped = new SkippedDocuments(skippedFiles);
  const texts: { source: string; text: string }[] = [];
  let [bytes, characters] = [0, 0];
  for (const file of files) {
    const read = readCorpusText(file, { single });
    if ("skipped" in read) skipped.count(read.skipped);
    else
      for (const { source, text } of documentsOf(file.source, read, single, textField))
        if (text.trim() === "") skipped.count("blank");
        else {
          texts.push({ source, text });
          characters += text.length;
        }
    bytes += file.bytes;
    onProgress?.(bytes, totalBytes);
  }
  if (texts.length === 0) throw emptyCorpus(path, single ? "the file contains no text" : "no file contains text", skipped.toJSON());
  return { documents: grouped(texts, Math.max(totalBytes, characters)), skipped: skipped.toJSON() };
}

function* documentsOf(source: string, file: CorpusText, single: boolean, textField: string): Generator<{ source: string; text: string }> {
  const { bytes, path } = file;
  const form = jsonForm(bytes, file.name, { single, textField });
  if (form !== undefined) {
    const rows = form === "lines" ? readJsonLines(bytes, path, textField) : readJsonArray(bytes, path, textField);
    for (const { line, text } of rows) yield { source: `${source}:${line}`, text };
    return;
  }
  if (single) refuseJsonValue(file);
  // Even a small single file is split into enough documents for a held-out split.
  const parts = segments(bytes).flatMap(({ start, end }) => {
    const text = decodeUtf8(bytes.subarray(start, end), path, start);
    return splitIntoDocuments(text, single ? Math.min(8192, Math.max(256, Math.floor(text.length / 64))) : directoryDocumentCharacters);
  });
  for (const [at, part] of parts.entries()) yield { source: parts.length === 1 ? source : `${source}#${at + 1}`, text: part };
}

/** A string has at most 2²⁹ characters; a larger file is decoded in segments that end with a line. */
const segmentBytes = 2 ** 28;

function segments(bytes: Uint8Array): { start: number; end: number }[] {
  const found: { start: number; end: number }[] = [];
  for (let start = 0; start < bytes.length; ) {
    let end = Math.min(bytes.length, start + segmentBytes);
    if (end < bytes.length) {
      const line = bytes.subarray(start, end).lastIndexOf(0x0a);
      if (line >= 0) end = start + line + 1;
      // Without a line end, the segment ends before the first byte of a character.
      else while (end > start && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
    }
    found.push({ start, end });
    start = end;
  }
  return found.length === 0 ? [{ start: 0, end: 0 }] : found;
}

function grouped(texts: readonly { source: string; text: string }[], totalBytes: number): Corpus["documents"] {
  const seen = new NearDuplicates(totalBytes);
  const numbers = texts.map(({ text }) => seen.add(seen.shingles(text)));
  return texts.map(({ source, text }, at) => ({ source, text, group: seen.group(numbers[at] ?? at) }));
}
