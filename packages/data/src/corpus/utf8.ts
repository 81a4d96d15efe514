import { isUtf8 } from "node:buffer";
import { notUtf8 } from "../data-errors.js";

/**
 * The text of a file, without a byte order mark.
 *
 * @param startByte offset of `bytes` in the file
 * @throws LapidaryError `LAP_DATA_NOT_UTF8` with the offset of the first invalid byte
 */
export function decodeUtf8(bytes: Uint8Array, path: string, startByte = 0): string {
  if (!isUtf8(bytes)) {
    const at = firstInvalidByte(bytes);
    throw notUtf8(path, startByte + at, encodingNear(bytes, at));
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

/** The likely encoding of the bytes around an invalid byte: damaged UTF-8, an 8-bit encoding, or undefined. */
export function encodingNear(bytes: Uint8Array, at: number): Encoding | undefined {
  const around = bytes.subarray(Math.max(0, at - 2048), at + 2048);
  return isMostlyUtf8(around) ? "UTF-8" : eightBitEncoding(around);
}

/** The likely encoding of text that is not valid UTF-8; `UTF-8` for damaged UTF-8. */
export type Encoding = "UTF-8" | "LATIN1" | "WINDOWS-1252";

/** Whether more non-ASCII bytes belong to valid multi-byte characters than not. This is rare in 8-bit text. */
function isMostlyUtf8(bytes: Uint8Array): boolean {
  let [whole, broken] = [0, 0];
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    if (length > 1) whole += length;
    else if (length === 0) broken++;
    at += Math.max(1, length);
  }
  return whole > broken;
}

/** Offset of the first invalid byte of UTF-8; the length if all bytes are valid. */
export function firstInvalidByte(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const length = characterLength(bytes, at);
    if (length === 0) return at;
    at += length;
  }
  return at;
}

/** Length of the character at `at`; 0 if it is invalid (Unicode standard, table 3-7). */
function characterLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const second = bytes[at + 1] ?? 0;
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < lowest || second > highest) return 0;
  for (let i = 2; i < length; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}

/**
 * The likely 8-bit encoding of a text: all bytes are printable, and most are ASCII letters and
 * blanks. Bytes from 0x80 to 0x9f are control characters in Latin-1 and punctuation in Windows' code page.
 */
function eightBitEncoding(bytes: Uint8Array): "LATIN1" | "WINDOWS-1252" | undefined {
  let [plain, low, high, controls] = [0, 0, 0, 0];
  for (const byte of bytes) {
    if (byte === 9 || byte === 10 || byte === 13 || (byte >= 0x20 && byte < 0x7f)) plain++;
    else if (byte < 0x20 || byte === 0x7f) controls++;
    else if (byte < 0xa0) low++;
    else high++;
  }
  if (controls > 0 || plain < 0.6 * bytes.length) return undefined;
  return low > 0 ? "WINDOWS-1252" : high > 0 ? "LATIN1" : undefined;
}

/** Whether bytes look binary: a NUL near the start, as in git and grep. UTF-16 is not binary. */
export function looksBinary(bytes: Uint8Array): boolean {
  const byteOrderMark = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  return !byteOrderMark && bytes.subarray(0, 8192).includes(0);
}
