import { closeSync, constants, openSync, readFileSync, readSync, statSync } from "node:fs";

/** Larger than any configuration. A device such as /dev/zero has no end. */
const maxBytes = 1 << 20;
/** Maximum time until a process writes to a pipe. */
const timeout_ms = 5000;
const pollInterval_ms = 10;

/**
 * The bytes of a configuration file, or of a pipe (`<(…)`, `/dev/stdin`).
 *
 * @throws the error of the operating system; ETIMEDOUT for a pipe without a writer: an ordinary read would block, and Ctrl-C would not stop it
 */
export function readConfigFile(path: string): Buffer {
  const found = statSync(path);
  if (found.isFile() || found.isDirectory()) return readFileSync(path);
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const chunks: Buffer[] = [];
  let [bytes, waited] = [0, 0];
  try {
    while (bytes <= maxBytes) {
      const chunk = readSome(file);
      if (chunk !== undefined && chunk.length > 0) {
        chunks.push(chunk);
        bytes += chunk.length;
        continue;
      }
      // The end of the file. Before the first byte of a pipe it means that no process has opened the pipe yet.
      if (chunk !== undefined && (bytes > 0 || !found.isFIFO())) break;
      if ((waited += pollInterval_ms) > timeout_ms) throw noWriter(path);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pollInterval_ms);
    }
    return Buffer.concat(chunks);
  } finally {
    closeSync(file);
  }
}

/** The bytes that are available: empty at the end, undefined if no bytes are available yet. */
function readSome(file: number): Buffer | undefined {
  const chunk = Buffer.alloc(1 << 16);
  try {
    return chunk.subarray(0, readSync(file, chunk));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
    throw error;
  }
}

const noWriter = (path: string): Error =>
  Object.assign(new Error(`ETIMEDOUT: no process writes to '${path}'`), { code: "ETIMEDOUT", syscall: "read", path });
