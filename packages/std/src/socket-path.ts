import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

/** Bytes of `sockaddr_un.sun_path` without its closing NUL: 107 on Linux, 103 on macOS. A longer path is cut silently by some systems. */
export const maxSocketPathBytes = process.platform === "darwin" ? 103 : 107;

/**
 * Where to put the unix socket that should lie at `path`: there if the system can address it, otherwise under a short
 * private directory of the temporary directory, named by a hash of `path` so that every process finds the same one.
 * The directory is made, readable by its owner alone.
 */
export function socketPathFor(path: string): string {
  if (Buffer.byteLength(path) <= maxSocketPathBytes) return path;
  const hash = createHash("sha256").update(path).digest("hex").slice(0, 16);
  const directory = join(tmpdir(), `lapidary-${process.getuid?.() ?? 0}-${hash}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return join(directory, basename(path).slice(0, 24));
}
