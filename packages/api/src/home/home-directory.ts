import { accessSync, constants, statfsSync, statSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname } from "node:path";
import { formatBytes, LapidaryError, makeDirectories, type Warning } from "@lapidary/std";
import { makePrivate, type PrivateDirectoryOptions } from "../../../../tools/setup/private-directory.mjs";

/** Processes of a state directory write files that group and others cannot open, with any umask of the shell. */
export const privateUmask = 0o077;

/** Enough for logs, the queue and the files of a small run. Larger models need more. */
const leastFree_bytes = 8 * 2 ** 20;

export interface HomeOptions extends PrivateDirectoryOptions {
  /** The space that must be free on the disk. */
  readonly least_bytes?: number;
}

/**
 * Creates the state directory, or closes an existing one to other users.
 *
 * @returns a warning if the directory was open, or cannot be closed
 * @throws LAP_HOME_OWNER if it belongs to another user; LAP_HOME_FILES if it cannot be created or written; LAP_HOME_DISK if its disk is full
 */
export function openHome(home: string, options: HomeOptions = {}): readonly Warning[] {
  const { state, mode, owner } = makeOrExplain(home, options);
  const was = `(mode ${(mode & 0o777).toString(8)})`;
  switch (state) {
    case "private":
      return [];
    case "closed":
      return [
        {
          code: "LAP_HOME_CLOSED",
          message: `the state directory was open to other users ${was}; only its owner can enter it now (mode 700)`,
          place: home,
          remedy:
            (mode & 0o022) === 0
              ? "nothing is to be done; to share a result, export it to another directory: `lapidary ckpt export RUN -o DIR`"
              : "others could write there: check that all runs below `runs` are yours, and remove `cache`, which is made again",
        },
      ];
    case "open":
      return [
        {
          code: "LAP_HOME_OPEN",
          message: `other users can enter the state directory ${was}, which holds other files too and therefore stays as it is`,
          place: home,
          remedy: "name a directory for Lapidary alone with --home or LAPIDARY_HOME, or close this one: `chmod go= DIR`",
        },
      ];
    case "unclosable":
      return [
        {
          code: "LAP_HOME_OPEN",
          message: `other users can enter the state directory ${was}: its file system keeps no permissions`,
          place: home,
          remedy: "name a directory on a file system with permissions by --home or LAPIDARY_HOME",
        },
      ];
    case "foreign":
      throw new LapidaryError({
        code: "LAP_HOME_OWNER",
        message: `the state directory belongs to another user (id ${owner}); this is ${userName()}`,
        location: home,
        remedy: `run the command as user ${owner}, name a directory of your own with --home or LAPIDARY_HOME, or take it over: \`sudo chown -R $(id -u) DIR\``,
      });
  }
}

function makeOrExplain(home: string, { least_bytes = leastFree_bytes, ...options }: HomeOptions): ReturnType<typeof makePrivate> {
  try {
    makeDirectories(home, 0o700);
    const made = makePrivate(home, options);
    // A read-only file system or missing permissions are an error now, not during a run.
    if (made.state !== "foreign") accessSync(home, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = statfsSync(home);
    if (bavail * bsize < least_bytes) throw fullDisk(home, bavail * bsize, least_bytes);
    return made;
  } catch (cause) {
    if (cause instanceof LapidaryError) throw cause;
    const { code, path = home } = cause as NodeJS.ErrnoException;
    if (code === undefined) throw cause;
    if (code === "ENOSPC" || code === "EDQUOT") throw fullDisk(home, 0, least_bytes, cause);
    const isFile = code === "EEXIST" || code === "ENOTDIR";
    throw new LapidaryError({
      code: "LAP_HOME_FILES",
      message: isFile
        ? `the state directory cannot be made: ${fileAbove(path)} is a file`
        : `the state directory cannot be made or written (${code})`,
      location: home,
      cause,
    });
  }
}

function fullDisk(home: string, free_bytes: number, least_bytes: number, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_HOME_DISK",
    message: `the disk of the state directory is full: ${formatBytes(free_bytes)} are free, ${formatBytes(least_bytes)} are needed to start`,
    location: home,
    cause,
  });
}

/** The path, or the file above it that is not a directory. */
function fileAbove(path: string): string {
  for (let place = path; ; place = dirname(place)) {
    const found = statOf(place);
    if (found !== undefined) return found.isDirectory() ? path : place;
    if (dirname(place) === place) return path;
  }
}

function statOf(path: string): ReturnType<typeof statSync> | undefined {
  try {
    return statSync(path);
  } catch {
    // Absent, or below a file.
    return undefined;
  }
}

/** `root (id 0)`; a user without an entry in the list of users has only the id. */
function userName(): string {
  const id = process.getuid?.() ?? -1;
  try {
    return `${userInfo().username} (id ${id})`;
  } catch {
    return `user ${id}`;
  }
}
