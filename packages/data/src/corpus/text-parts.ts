import { isUtf8 } from "node:buffer";
import { notUtf8 } from "../data-errors.js";
import { firstInvalidByte } from "./utf8.js";

/** A file of more bytes is decoded part by part: a string in memory holds less than the largest corpus. */
const partBytes = 1 << 22;

/** Whether `textParts` gives a file of so many bytes in several parts. */
export const isDecodedInParts = (bytes: number): boolean => bytes > partBytes;

/**
 * The text of a file in parts that make it up, without a byte order mark.
 *
 * @throws LapidaryError `LAP_DATA_NOT_UTF8` with the offset of the first byte that is none
 */
export function* textParts(bytes: Uint8Array, path: string): Generator<string> {
  if (!isUtf8(bytes)) throw notUtf8(path, bytes, firstInvalidByte(bytes));
  const decoder = new TextDecoder("utf-8");
  for (let start = 0; start < bytes.length; start += partBytes)
    yield decoder.decode(bytes.subarray(start, start + partBytes), { stream: true });
}
