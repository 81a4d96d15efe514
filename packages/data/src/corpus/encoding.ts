import { firstInvalidByte } from "./utf8.js";
import { quote } from "./file-kind.js";

/** What bytes that are not UTF-8 seem to be, and what makes UTF-8 of them. */
export interface EncodingGuess {
  readonly what: string;
  readonly remedy: string;
}

/** The text is looked at so far for a guess. */
const looked = 1 << 16;

/** The name of a Unicode encoding of more than one byte a character, by its byte order mark or by where its NUL bytes are. */
export function wideEncoding(bytes: Uint8Array): string | undefined {
  const [a, b, c, d] = bytes;
  if (a === 0xff && b === 0xfe) return c === 0 && d === 0 && bytes.length >= 4 ? "UTF-32" : "UTF-16";
  if (a === 0xfe && b === 0xff) return "UTF-16";
  if (a === 0 && b === 0 && c === 0xfe && d === 0xff) return "UTF-32";
  if (bytes.length < 8) return undefined;
  const head = bytes.subarray(0, Math.min(bytes.length, 4096) & ~3);
  // Where a text of mostly ASCII has its characters: the other bytes are NUL.
  if (isLane(head, 2, 0)) return "UTF-16LE";
  if (isLane(head, 2, 1)) return "UTF-16BE";
  if (isLane(head, 4, 0)) return "UTF-32LE";
  return isLane(head, 4, 3) ? "UTF-32BE" : undefined;
}

/** Whether nearly every `width`th byte from `lane` on is a character of ASCII and the others are NUL. */
function isLane(bytes: Uint8Array, width: number, lane: number): boolean {
  let good = 0;
  const total = Math.floor(bytes.length / width);
  for (let at = 0; at < total * width; at += width) {
    let isGood = isTextByte(bytes[at + lane] ?? 0);
    for (let i = 0; i < width; i++) if (i !== lane && bytes[at + i] !== 0) isGood = false;
    if (isGood) good++;
  }
  return good >= 0.9 * total;
}

/** What bytes are that are not UTF-8 at `offset`. */
export function guessEncoding(bytes: Uint8Array, offset: number, path: string): EncodingGuess {
  const file = quote(path);
  const convert = (from: string): string => `convert it first with \`iconv -f ${from} -t UTF-8 ${file} > corpus.txt\``;
  const wide = wideEncoding(bytes);
  if (wide !== undefined) return { what: `it looks like ${wide}`, remedy: convert(wide) };
  const around = bytes.subarray(Math.max(0, offset - looked / 2), offset + looked / 2);
  if (controlShare(around) > 0.005)
    return { what: "it does not look like text", remedy: "name a file of UTF-8 text, a JSONL file or a directory of these" };
  if (bytes.length - offset < 4 && firstInvalidByte(bytes.subarray(0, offset)) === offset && (bytes[offset] ?? 0) >= 0xc2)
    return {
      what: "it ends inside a character, as a file that was cut off does",
      remedy: `fetch the file again, or take the broken end off with \`iconv -c -f UTF-8 -t UTF-8 ${file} > corpus.txt\``,
    };
  const { high, c1, valid } = highBytes(around);
  if (valid > 0.5 * high)
    return {
      what: "the rest of it looks like UTF-8",
      remedy: `repair it at this byte, or drop what is broken with \`iconv -c -f UTF-8 -t UTF-8 ${file} > corpus.txt\``,
    };
  if (high < 0.3 * around.length) {
    const name = c1 === 0 ? "LATIN1" : "WINDOWS-1252";
    return { what: `it looks like ${name}`, remedy: `${convert(name)}, and look at its letters with accents` };
  }
  return {
    what: "it looks like text in the encoding of another alphabet",
    remedy: `find its encoding (\`file -i ${file}\` gives a guess) and ${convert("ENCODING")}`,
  };
}

/** Bytes above 0x7f, those of them that LATIN1 has no character for, and those that belong to whole UTF-8 characters. */
function highBytes(bytes: Uint8Array): { high: number; c1: number; valid: number } {
  let [high, c1, valid] = [0, 0, 0];
  for (const byte of bytes) {
    if (byte >= 0x80) high++;
    if (byte >= 0x80 && byte < 0xa0) c1++;
  }
  for (let at = 0; at < bytes.length; ) {
    const end = at + firstInvalidByte(bytes.subarray(at));
    for (let i = at; i < end; i++) if ((bytes[i] ?? 0) >= 0x80) valid++;
    at = end + 1;
  }
  return { high, c1, valid };
}

function controlShare(bytes: Uint8Array): number {
  let controls = 0;
  for (const byte of bytes) if (byte < 0x80 && !isTextByte(byte)) controls++;
  return bytes.length === 0 ? 0 : controls / bytes.length;
}

const isTextByte = (byte: number): boolean => (byte >= 0x20 && byte < 0x7f) || (byte >= 0x08 && byte <= 0x0d) || byte === 0x1b;
