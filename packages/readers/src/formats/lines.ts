import type { Pieces } from "../bytes/unpacked.js";

const newline = 0x0a;

/** A line without its end, and its number from 1. `bytes` is undefined if the line is too long. */
export interface Line {
  readonly number: number;
  readonly bytes: Buffer | undefined;
}

/**
 * The lines of a text. A line that a gap cuts off is left out. Returns the error of the file.
 *
 * @param maxBytes of a line; memory is bounded by it
 * @param first the number of the first line
 */
export async function* readLines(pieces: Pieces, maxBytes: number, first = 1): AsyncGenerator<Line, string | undefined> {
  const parts: Buffer[] = [];
  let bytes = 0;
  let number = first;
  const line = (): Line => {
    const found = { number: number++, bytes: bytes > maxBytes ? undefined : Buffer.concat(parts) };
    parts.length = bytes = 0;
    return found;
  };
  for (;;) {
    const next = await pieces.next();
    if (next.done === true) {
      if (bytes > 0) yield line();
      return next.value;
    }
    if (typeof next.value === "string") {
      parts.length = bytes = 0;
      continue;
    }
    const piece = next.value;
    for (let start = 0; start < piece.length; ) {
      const found = piece.indexOf(newline, start);
      const end = found < 0 ? piece.length : found;
      bytes += end - start;
      if (bytes <= maxBytes) parts.push(piece.subarray(start, end));
      else parts.length = 0;
      if (found >= 0) yield line();
      start = end + 1;
    }
  }
}
