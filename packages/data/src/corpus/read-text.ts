import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { badArchive, corpusTooLarge, notText, notUtf8 } from "../data-errors.js";
import { type FileFormat, formatOf, unpackedName, unreadable } from "@lapidary/readers";
import { type CorpusFile, maxCorpusBytes } from "./list-files.js";
import { encodingNear, firstInvalidByte, looksBinary } from "./utf8.js";
import { unpackZstd, ZstdDictionaryError, ZstdSizeError } from "@lapidary/readers";

/** The uncompressed text of a file. */
export interface CorpusText {
  readonly path: string;
  /** Name of the file without the extension of the compression format. */
  readonly name: string;
  /** UTF-8, not yet validated. A file may be larger than the longest string. */
  readonly bytes: Uint8Array;
}

/**
 * Reads the text of a file: UTF-8, or UTF-16 with a byte order mark, plain or compressed by gzip or zstd.
 *
 * @param single whether the file is the whole corpus. If so, a file without text is an error, otherwise it is skipped
 * @throws LapidaryError `LAP_DATA_NOT_UTF8`, `LAP_DATA_NOT_TEXT`, `LAP_DATA_ARCHIVE`, `LAP_DATA_TOO_LARGE`, `LAP_DATA_UNREADABLE`
 */
export function readCorpusText(file: CorpusFile, { single }: { readonly single: boolean }): CorpusText | { readonly skipped: string } {
  const raw = read(file.path);
  const packed = formatOf(raw);
  const isPacked = packed.kind === "gzip" || packed.kind === "zstd";
  const bytes = isPacked ? unpack(raw, packed.kind, file.path) : raw;
  const format = isPacked ? formatOf(bytes) : packed;
  const name = isPacked ? unpackedName(file.path) : file.source;
  switch (format.kind) {
    case "utf-16le":
    case "utf-16be":
      return { path: file.path, name, bytes: Buffer.from(new TextDecoder(format.kind).decode(bytes), "utf8") };
    case "gzip":
    case "zstd":
      return single
        ? refuse(file.path, { kind: "other", what: "a compressed file inside a compressed file", remedy: () => "decompress it once" })
        : { skipped: "packed twice" };
    case "other":
      return single ? refuse(file.path, format) : { skipped: format.what };
    case "text":
      break;
  }
  if (single ? bytes.includes(0) : looksBinary(bytes)) return single ? refuseBinary(file.path, bytes) : { skipped: "binary" };
  if (single) refuseTable(file.path, name);
  if (isPacked && !isUtf8(bytes)) throw notUtf8Packed(file.path, bytes, packed.kind);
  return { path: file.path, name, bytes };
}

function refuse(path: string, { what, remedy }: Extract<FileFormat, { kind: "other" }>): never {
  throw notText(path, `it is ${what}`, remedy(path));
}

function refuseBinary(path: string, bytes: Uint8Array): never {
  throw notText(
    path,
    `the byte at offset ${bytes.indexOf(0)} is NUL, which is not valid in text`,
    "name a file of text; if it is text with stray NUL bytes, remove them with `tr -d '\\000' < FILE > NEW_FILE`",
  );
}

/** The remedy decompresses the file before it converts the encoding. */
function notUtf8Packed(path: string, bytes: Uint8Array, kind: "gzip" | "zstd"): Error {
  const at = firstInvalidByte(bytes);
  return notUtf8(path, at, encodingNear(bytes, at), kind === "gzip" ? "gunzip -c" : "zstd -dc");
}

/**
 * Rejects a table that is the whole corpus, because its delimiters are not text. In a directory a table is text like any other file.
 *
 * @param name of the file, without the extension of the compression format
 * @throws LapidaryError `LAP_DATA_NOT_TEXT`
 */
export function refuseTable(path: string, name: string): void {
  if (!/\.(csv|tsv)$/i.test(name)) return;
  const delimiter = /\.tsv$/i.test(name) ? ', delimiter="\\t"' : "";
  const convert = `python3 -c 'import csv, json, sys; [print(json.dumps(row)) for row in csv.DictReader(sys.stdin${delimiter})]' < FILE > NEW.jsonl`;
  throw notText(
    path,
    "tables are not supported",
    `write a JSON object a row with \`${convert}\`, and name the column of the text in data.text_field; to train on the table as it is, rename it to end in .txt`,
  );
}

/**
 * Rejects a `.json` file that is a single value and the whole corpus, because no field is known to be the text.
 *
 * @throws LapidaryError `LAP_DATA_NOT_TEXT`
 */
export function refuseJsonValue({ path, name, bytes }: CorpusText): void {
  if (!/\.json$/i.test(name)) return;
  const head = new TextDecoder().decode(bytes.subarray(0, 64)).trimStart();
  if (!/^[[{]/.test(head)) return;
  const filter = !head.startsWith("[") ? "." : /^\[\s*"/.test(head) ? "'.[] | {text: .}'" : "'.[]'";
  throw notText(
    path,
    `expected one JSON object for each text, got one JSON ${head.startsWith("[") ? "array" : "object"}`,
    `write one object a line, for instance with \`jq -c ${filter} FILE > NEW.jsonl\`; to train on the JSON as it is, rename it to end in .txt`,
  );
}

function unpack(raw: Buffer, kind: "gzip" | "zstd", path: string): Buffer {
  try {
    return kind === "zstd" ? unpackZstd(raw, maxCorpusBytes) : gunzipSync(raw, { maxOutputLength: maxCorpusBytes });
  } catch (cause) {
    if (cause instanceof ZstdDictionaryError)
      throw notText(
        path,
        "it is a zstd archive that needs a dictionary",
        "unpack it with `zstd -d -D DICTIONARY FILE`, and name the result",
      );
    if (cause instanceof ZstdSizeError || (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE")
      throw corpusTooLarge(path, undefined, maxCorpusBytes);
    throw badArchive(path, kind, cause);
  }
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}
