import { type Dirent, readdirSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { unreadable } from "../data-errors.js";

/**
 * The regular files below `root`, as paths relative to it with `/`, in an order that is the same on every machine.
 * Symbolic links are not followed: they lead out of the tree, or round in circles. Names with a leading dot are passed over.
 *
 * @param enter whether to go into the directory of this relative path
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

/**
 * The regular files below `root` and behind the symbolic links in it, in the order of `walkFiles`. Each directory is entered once,
 * so links that form a circle end; a file behind several links is given once. A file or directory of the tree itself is given by its
 * own path, whatever links to it.
 *
 * @param enter whether to go into the directory of this relative path
 * @param skip called with the reason for everything that is not given
 * @throws LapidaryError `LAP_DATA_UNREADABLE` when `root` cannot be listed
 */
export function walkWithLinks(root: string, enter: (directory: string) => boolean, skip: (reason: string) => void): string[] {
  const seen = new Set<string>();
  const files: string[] = [];
  const links: string[] = [];
  const identity = (path: string): string => {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  };
  const visit = (directory: string): void => {
    for (const entry of list(directory)) {
      const path = directory === "" ? entry.name : `${directory}/${entry.name}`;
      if (entry.name.startsWith(".")) skip("hidden");
      else if (entry.isSymbolicLink()) links.push(path);
      else if (entry.isFile()) take(path);
      else if (!entry.isDirectory()) skip("neither a file nor a directory");
      else if (!enter(path)) skip("node_modules");
      else if (isNew(path, "directory seen before")) visit(path);
    }
  };
  const list = (directory: string): Dirent[] => {
    if (directory === "") return listDirectory(root);
    try {
      return listDirectory(join(root, directory));
    } catch {
      skip("directory that cannot be read");
      return [];
    }
  };
  // Hard links are files of their own: only what a symbolic link leads to is compared.
  const take = (path: string): void => {
    seen.add(identity(join(root, path)));
    files.push(path);
  };
  const isNew = (path: string, reason: string): boolean => {
    const key = identity(join(root, path));
    if (seen.has(key)) {
      skip(reason);
      return false;
    }
    seen.add(key);
    return true;
  };
  const follow = (path: string): void => {
    const stats = target(join(root, path));
    if (stats === undefined) skip("link that leads nowhere");
    else if (stats.isFile()) {
      if (isNew(path, "link to a file seen before")) files.push(path);
    } else if (!stats.isDirectory()) skip("neither a file nor a directory");
    else if (!enter(path)) skip("node_modules");
    else if (isNew(path, "link to a directory seen before")) visit(path);
  };
  seen.add(identity(root));
  visit("");
  for (let at = 0; at < links.length; at++) follow(links[at] ?? "");
  return files
    .map((path) => path.split("/"))
    .sort(byParts)
    .map((parts) => parts.join("/"));
}

/** What a link leads to; undefined for a link that leads nowhere, or to itself, or where nobody may look. */
function target(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function listDirectory(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true }).sort((a, b) => byCodeUnits(a.name, b.name));
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** The order in which a walk meets paths: by the names of their directories, one after the other. */
function byParts(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = byCodeUnits(a[i] ?? "", b[i] ?? "");
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** Order of strings that no locale changes. */
export function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
