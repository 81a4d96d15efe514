import { accessSync, closeSync, constants, existsSync, openSync, readdirSync, readSync } from "node:fs";
import { emptyCorpus, missingCorpus, tooSmallForBatch } from "../data-errors.js";
import { type CorpusSpec, corpusPath } from "./corpus-spec.js";
import { splitHeldOut } from "./held-out.js";
import { formatOf, unreadable } from "@lapidary/readers";
import { jsonForm, readJsonLines } from "./jsonl.js";
import { type CorpusFile, listCorpusFiles } from "./list-files.js";
import { readPathCorpus } from "./path-corpus.js";
import { readCorpusText, refuseTable } from "./read-text.js";
import { decodeUtf8, looksBinary } from "./utf8.js";

export interface CorpusCheck {
  readonly corpus: CorpusSpec;
  readonly heldOutFraction: number;
  /** Rows of a batch and tokens of a row. */
  readonly batch: number;
  readonly seq: number;
}

/** A user's corpus of at most this size is read whole. */
const wholeBytes = 256 * 1024;
/** Of a larger corpus, this many bytes of each file are read, of at most `maxFiles` files. */
const headBytes = 64 * 1024;
const maxFiles = 256;

/**
 * Fast checks of a corpus before a job is queued: it exists, can be read, and has enough text for one batch. The time does not depend
 * on the size of the corpus. Preparing the dataset checks the rest.
 *
 * @throws LapidaryError `LAP_DATA_…`, as `prepareDataset` throws it
 */
export function checkCorpus({ corpus, heldOutFraction, batch, seq }: CorpusCheck): void {
  if (corpus.kind === "node_modules") return checkNodeModules(corpus.directory);
  const listing = listCorpusFiles(corpus.path);
  const { files } = listing;
  for (const { path } of files.slice(0, maxFiles)) checkReadable(path);
  if (files.reduce((sum, { bytes }) => sum + bytes, 0) > wholeBytes) return checkHeads(corpus.path, files, corpus.textField);
  const { documents } = readPathCorpus(corpus.path, listing, { textField: corpus.textField });
  const { train } = splitHeldOut(documents, heldOutFraction, corpusPath(corpus));
  // A token has at least one byte. Each document also gets <bos>, <eos> and a leading space.
  const mostTokens = train.reduce((sum, { text }) => sum + Buffer.byteLength(text) + 3, 0);
  const maxRows = Math.max(1, Math.ceil((mostTokens - 1) / seq));
  if (maxRows < batch) throw tooSmallForBatch(corpusPath(corpus), maxRows, batch, seq);
}

function checkNodeModules(directory: string): void {
  if (!existsSync(directory)) throw missingCorpus(directory, undefined);
  let names: readonly string[];
  try {
    names = readdirSync(directory);
  } catch (cause) {
    throw unreadable(directory, cause);
  }
  if (!names.some((name) => !name.startsWith("."))) throw emptyCorpus(directory, "no package is installed");
}

function checkReadable(path: string): void {
  try {
    accessSync(path, constants.R_OK);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** Parses the head of the first text file. A corpus without a file that looks like text is empty. */
function checkHeads(path: string, files: readonly CorpusFile[], textField: string): void {
  const single = files.length === 1 && files[0]?.path === path;
  for (const file of files.slice(0, maxFiles)) {
    const head = headOf(file);
    const format = formatOf(head);
    // The first bytes do not show whether a compressed file or UTF-16 is valid text.
    if (format.kind !== "text" && format.kind !== "other") return;
    if (format.kind === "other" || looksBinary(head)) {
      if (single) readCorpusText(file, { single });
      continue;
    }
    if (head.length === 0) continue;
    if (single) refuseTable(file.path, file.source);
    if (jsonForm(head, file.source, { single, textField }) === "lines") {
      for (const _ of readJsonLines(head.subarray(0, head.lastIndexOf(0x0a) + 1), file.path, textField)) break;
    } else decodeUtf8(withoutCutCharacter(head, head.length < file.bytes), file.path);
    return;
  }
  if (files.length <= maxFiles) throw emptyCorpus(path, "no file contains text");
}

function headOf({ path }: CorpusFile): Uint8Array {
  try {
    const file = openSync(path, "r");
    try {
      const head = new Uint8Array(headBytes);
      return head.subarray(0, readSync(file, head, 0, headBytes, 0));
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** The bytes without an incomplete last character. */
function withoutCutCharacter(bytes: Uint8Array, isCut: boolean): Uint8Array {
  if (!isCut) return bytes;
  let end = bytes.length;
  while (end > Math.max(0, bytes.length - 4) && ((bytes[end - 1] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, Math.max(0, end - 1));
}
