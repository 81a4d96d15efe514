import { closeSync, constants, openSync, readFileSync, readSync, statSync } from "node:fs";

/** More than any configuration has; a device such as /dev/zero has no end. */
const mostBytes = 1 << 20;
/** So long somebody may take to write into a pipe. */
const patience_ms = 5000;
const lookEvery_ms = 10;

/**
 * The bytes of a configuration file, or of a pipe (`<(…)`, `/dev/stdin`).
 *
 * @throws the error of the operating system; ETIMEDOUT for a pipe that nobody writes into: an ordinary read of it never returns, and no Ctrl-C ends it
 */
export function readConfigFile(path: string): Buffer {
  const found = statSync(path);
  if (found.isFile() || found.isDirectory()) return readFileSync(path);
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const pieces: Buffer[] = [];
  let [bytes, waited] = [0, 0];
  try {
    while (bytes <= mostBytes) {
      const piece = readSome(file);
      if (piece !== undefined && piece.length > 0) {
        pieces.push(piece);
        bytes += piece.length;
        continue;
      }
      // Its end; before the first byte, only that nobody has opened it yet.
      if (piece !== undefined && (bytes > 0 || !found.isFIFO())) break;
      if ((waited += lookEvery_ms) > patience_ms) throw silent(path);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lookEvery_ms);
    }
    return Buffer.concat(pieces);
  } finally {
    closeSync(file);
  }
}

/** What is there now: empty at the end, undefined while there is nothing yet. */
function readSome(file: number): Buffer | undefined {
  const piece = Buffer.alloc(1 << 16);
  try {
    return piece.subarray(0, readSync(file, piece));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
    throw error;
  }
}

const silent = (path: string): Error =>
  Object.assign(new Error(`ETIMEDOUT: nobody writes into '${path}'`), { code: "ETIMEDOUT", syscall: "read", path });
