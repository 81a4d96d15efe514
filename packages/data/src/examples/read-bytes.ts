import { existsSync, readFileSync, statSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { LapidaryError } from "@lapidary/std";
import { formatOf, unreadable } from "@lapidary/readers";
import { maxCorpusBytes } from "../corpus/list-files.js";
import { unpackZstd, ZstdSizeError } from "@lapidary/readers";
import { badArchive, corpusTooLarge, missingCorpus, notText } from "../data-errors.js";

/**
 * The decompressed bytes of a file of examples. The bytes need not be valid UTF-8, because each bad row is refused by itself.
 *
 * @throws LapidaryError `LAP_DATA_MISSING`, `LAP_DATA_UNREADABLE`, `LAP_DATA_ARCHIVE`, `LAP_DATA_NOT_TEXT`, `LAP_DATA_TOO_LARGE`
 */
export function readBytes(path: string): Uint8Array {
  if (!existsSync(path)) throw missingCorpus(path, undefined);
  const raw = readFile(path);
  const packed = formatOf(raw).kind;
  const bytes = packed === "gzip" || packed === "zstd" ? unpack(raw, packed, path) : raw;
  const format = formatOf(bytes);
  if (format.kind === "other") throw notText(path, `it is ${format.what}`, format.remedy(path));
  if (format.kind !== "text")
    throw notText(path, `it is ${format.kind}, expected UTF-8`, "decompress it once, or convert it to UTF-8 with `iconv`");
  return bytes;
}

function readFile(path: string): Buffer {
  try {
    const bytes = statSync(path).size;
    if (bytes > maxCorpusBytes) throw corpusTooLarge(path, bytes, maxCorpusBytes);
    return readFileSync(path);
  } catch (cause) {
    throw cause instanceof LapidaryError ? cause : unreadable(path, cause);
  }
}

function unpack(raw: Buffer, kind: "gzip" | "zstd", path: string): Buffer {
  try {
    return kind === "zstd" ? unpackZstd(raw, maxCorpusBytes) : gunzipSync(raw, { maxOutputLength: maxCorpusBytes });
  } catch (cause) {
    if (cause instanceof ZstdSizeError || (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE")
      throw corpusTooLarge(path, undefined, maxCorpusBytes);
    throw badArchive(path, kind, cause);
  }
}
