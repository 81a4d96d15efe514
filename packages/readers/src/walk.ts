import { type Dirent, readdirSync } from "node:fs";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";

/**
 * The regular files below `root`, as paths relative to it with `/`, in an order that does not depend on the machine.
 * Symbolic links are not followed: they could leave the tree or form cycles. Names with a leading dot are skipped.
 *
 * @param enter whether to descend into the directory of this relative path
 * @throws LapidaryError `LAP_DATA_UNREADABLE`
 */
export function* walkFiles(root: string, enter: (directory: string) => boolean): Generator<string> {
  yield* walk(root, "", enter);
}

function* walk(root: string, directory: string, enter: (directory: string) => boolean): Generator<string> {
  for (const entry of listDirectory(join(root, directory))) {
    if (entry.name.startsWith(".")) continue;
    const path = directory === "" ? entry.name : `${directory}/${entry.name}`;
    if (entry.isFile()) yield path;
    else if (entry.isDirectory() && enter(path)) yield* walk(root, path, enter);
  }
}

function listDirectory(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true }).sort((a, b) => byCodeUnits(a.name, b.name));
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** String order that does not depend on the locale. */
export function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The error of a file or directory that cannot be read. */
export function unreadable(path: string, cause: unknown): LapidaryError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new LapidaryError({
    code: "LAP_DATA_UNREADABLE",
    message: `cannot read ${path}: ${reason}`,
    location: path,
    cause,
  });
}
