import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { isSystemError, systemError } from "@lapidary/std";

const chunkBytes = 1 << 20;

/**
 * Whole lines of a file, about a megabyte at a time.
 *
 * @param left the bytes that may still be read
 * @throws LapidaryError LAP_FILE_…
 */
export function* readTextLines(path: string, left: () => number): Generator<{ readonly text: string; readonly read: number }> {
  const file = reading(path, () => openSync(path, "r"));
  try {
    // A directory opens, but cannot be read.
    reading(path, () => fstatSync(file).isDirectory() && readSync(file, Buffer.alloc(1)));
    const decoder = new TextDecoder("utf-8");
    const chunk = Buffer.alloc(chunkBytes);
    let rest = "";
    for (;;) {
      const wanted = Math.max(0, Math.min(chunkBytes, left()));
      const read = wanted === 0 ? 0 : reading(path, () => readSync(file, chunk, 0, wanted, null));
      const text = rest + decoder.decode(chunk.subarray(0, read), { stream: read > 0 });
      const end = read === 0 ? text.length : text.lastIndexOf("\n") + 1;
      rest = text.slice(end);
      if (end > 0 || read > 0) yield { text: text.slice(0, end), read };
      if (read === 0) return;
    }
  } finally {
    closeSync(file);
  }
}

function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read the text", place: path }) : error;
  }
}
