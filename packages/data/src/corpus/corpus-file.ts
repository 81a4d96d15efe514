import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { foreignFile, notUtf8, textWithNul, unreadable } from "../data-errors.js";
import { wideEncoding } from "./encoding.js";
import { foreignKind, kindBytes, quote } from "./file-kind.js";
import { looksLikeJsonLines } from "./jsonl.js";
import type { Unpacked } from "./unpack.js";
import { looksBinary } from "./utf8.js";

/** A file of a corpus: what it is called, where it lies, and what tells that it changed. */
export interface CorpusFile {
  readonly source: string;
  readonly path: string;
  readonly bytes: number;
  readonly modified_ms: number;
}

/**
 * Why a file of a directory is left out, by its first bytes; undefined for text.
 *
 * @param lone the file is the whole corpus: the reason is then an error
 * @throws LapidaryError `LAP_DATA_FORMAT`, `LAP_DATA_BINARY` for a lone file; `LAP_DATA_NOT_UTF8` for UTF-16 and UTF-32
 */
export function whyNoText({ bytes, name }: Unpacked, path: string, lone: boolean): string | undefined {
  const kind = foreignKind(bytes.subarray(0, kindBytes), path);
  if (kind !== undefined) {
    if (lone) throw foreignFile(path, kind.name, kind.remedy);
    return kind.name.replace(/^an? /, "");
  }
  if (wideEncoding(bytes) !== undefined) throw notUtf8(path, bytes, 0);
  if (!lone) return looksBinary(bytes) ? "binary" : undefined;
  const nul = bytes.indexOf(0);
  if (nul >= 0) throw textWithNul(path, nul);
  if (/\.(csv|tsv|tab)$/i.test(name)) throw table(path, name);
  return undefined;
}

/** Whether the lines of a file are JSON objects, by its name, or by its first lines where the name says nothing of it. */
export function isJsonLines({ bytes, name }: Unpacked, textField: string): boolean {
  if (/\.(jsonl|ndjson|jsonlines|jl)$/i.test(name)) return true;
  return looksLikeJsonLines(bytes, textField, /\.json$/i.test(name) ? 1 : 2);
}

/** A lone `.json` that is one value: which of its strings are the texts is not known. @throws LapidaryError `LAP_DATA_FORMAT` */
export function refuseJsonValue({ bytes, name }: Unpacked, path: string): void {
  if (!/\.json$/i.test(name)) return;
  const isList = /^(\xef\xbb\xbf)?\s*\[/.test(bytes.toString("latin1", 0, 64));
  throw foreignFile(
    path,
    isList ? "one JSON list" : "JSON that is not one object with a text a line",
    `write one object a line, for instance with \`jq -c ${isList ? "'.[]'" : "."} ${quote(path)} > corpus.jsonl\`, and name corpus.jsonl; \`data.text_field\` names the field with the text`,
  );
}

function table(path: string, name: string): Error {
  const delimiter = /\.csv$/i.test(name) ? "" : ', delimiter="\\t"';
  return foreignFile(
    path,
    "a table (CSV or TSV), for which there is no reader",
    `write it as JSON lines with \`python3 -c 'import csv, json, sys; [print(json.dumps(row)) for row in csv.DictReader(sys.stdin${delimiter})]' < ${quote(path)} > corpus.jsonl\` and name the column with \`data.text_field\`; to train on it as it is, give it a name that ends in .txt`,
  );
}

/** @throws LapidaryError `LAP_DATA_UNREADABLE` */
export function readFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** The first bytes of a file. @throws LapidaryError `LAP_DATA_UNREADABLE` */
export function readHead(path: string, most: number): Buffer {
  try {
    const file = openSync(path, "r");
    try {
      const head = Buffer.alloc(most);
      return head.subarray(0, readSync(file, head, 0, most, 0));
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw unreadable(path, cause);
  }
}
