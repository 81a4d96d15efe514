import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { badArchive, corpusTooLarge, notText, unreadable } from "../data-errors.js";
import { type FileFormat, formatOf, unpackedName } from "./file-format.js";
import { type CorpusFile, largestCorpusBytes } from "./list-files.js";
import { looksBinary } from "./utf8.js";
import { zstdDecompressSync } from "./zstd.js";

/** The text of a file, unpacked. */
export interface CorpusText {
  readonly path: string;
  /** Of the file, without the ending that says how it is packed. */
  readonly name: string;
  /** UTF-8; not yet checked. A file may be larger than a string can be. */
  readonly bytes: Uint8Array;
}

/**
 * Reads the text of a file: UTF-8, or UTF-16 with a byte order mark, as it is or packed by gzip (or zstd, where Node has it).
 *
 * @param single whether the file is the whole corpus: then what is no text is an error, otherwise it is left out
 * @throws LapidaryError `LAP_DATA_NOT_UTF8`, `LAP_DATA_NOT_TEXT`, `LAP_DATA_ARCHIVE`, `LAP_DATA_TOO_LARGE`, `LAP_DATA_UNREADABLE`
 */
export function readCorpusText(file: CorpusFile, { single }: { readonly single: boolean }): CorpusText | { readonly leftOut: string } {
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
        ? refuse(file.path, { kind: "other", what: "a packed archive of a packed archive", remedy: () => "unpack it once" })
        : { leftOut: "packed twice" };
    case "other":
      return single ? refuse(file.path, format) : { leftOut: format.what };
    case "text":
      break;
  }
  if (looksBinary(bytes)) return single ? refuseBinary(file.path, bytes) : { leftOut: "binary" };
  return { path: file.path, name, bytes };
}

function refuse(path: string, { what, remedy }: Extract<FileFormat, { kind: "other" }>): never {
  throw notText(path, `it is ${what}`, remedy(path));
}

function refuseBinary(path: string, bytes: Uint8Array): never {
  throw notText(
    path,
    `the byte at offset ${bytes.indexOf(0)} is NUL, which no text holds`,
    "name a file of text; if it is text with stray NUL bytes, remove them with `tr -d '\\000' < FILE > NEW_FILE`",
  );
}

function unpack(raw: Buffer, kind: "gzip" | "zstd", path: string): Buffer {
  const options = { maxOutputLength: largestCorpusBytes };
  try {
    return kind === "zstd" && zstdDecompressSync !== undefined ? zstdDecompressSync(raw, options) : gunzipSync(raw, options);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE")
      throw corpusTooLarge(path, largestCorpusBytes + 1, largestCorpusBytes);
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
