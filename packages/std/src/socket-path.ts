import { createHash } from "node:crypto";
import { lstatSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { LapidaryError } from "./errors.js";

/** Bytes of `sockaddr_un.sun_path` without its closing NUL: 107 on Linux, 103 on macOS. Some systems truncate a longer path silently. */
export const maxSocketPathBytes = process.platform === "darwin" ? 103 : 107;

/**
 * The path of the unix socket for `path`: `path` itself if the system can address it, otherwise a path in a short
 * private directory of the temporary directory. Its name is a hash of `path`, so that every process finds the same path.
 * Creates the directory, readable only by its owner.
 *
 * @throws LAP_SOCKET_DIRECTORY if another user created that directory, or no temporary directory can be used
 */
export function socketPathFor(path: string): string {
  if (Buffer.byteLength(path) <= maxSocketPathBytes) return path;
  const hash = createHash("sha256").update(path).digest("hex").slice(0, 16);
  const user = process.getuid?.() ?? 0;
  const name = `lapidary-${user}-${hash}`;
  const file = basename(path).slice(0, 24);
  // A temporary directory that is missing, not writable or too long is skipped.
  const found = [tmpdir(), "/tmp"].filter((base) => Buffer.byteLength(join(base, name, file)) <= maxSocketPathBytes);
  let refusal: unknown;
  for (const base of found) {
    const directory = join(base, name);
    try {
      mkdirSync(directory, { mode: 0o700 });
    } catch (error) {
      refusal = error;
      if ((error as { code?: string }).code !== "EEXIST") continue;
    }
    checkOwner(directory, user);
    return join(directory, file);
  }
  throw new LapidaryError({
    code: "LAP_SOCKET_DIRECTORY",
    message:
      "there is no directory for sockets: the path of the state directory is too long for them, and the temporary directory cannot be used",
    location: tmpdir(),
    remedy: "set TMPDIR to a directory with a short path that you may write, or name a state directory with a shorter path",
    cause: refusal,
  });
}

function checkOwner(directory: string, user: number): void {
  const found = lstatSync(directory);
  if (!found.isDirectory() || found.uid !== user || (found.mode & 0o077) !== 0)
    throw new LapidaryError({
      code: "LAP_SOCKET_DIRECTORY",
      message: "the directory for sockets belongs to another user or is open to others",
      location: directory,
      remedy: "remove it, or use a project directory with a shorter path",
    });
}
