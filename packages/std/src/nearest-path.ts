import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, extname, join, relative, resolve } from "node:path";
import { suggest } from "./suggest.js";

/**
 * The path that the user may have meant: the first part of `path` that does not exist is replaced by the entry of its directory with the
 * most similar name. Undefined if `path` exists, or if nothing exists at the replaced path.
 *
 * @param base the directory that a relative `path` starts from
 * @returns relative to `base` if `path` is relative
 */
export function nearestPath(path: string, base: string): string | undefined {
  const absolute = resolve(base, path);
  let missing = absolute;
  if (existsSync(missing)) return undefined;
  while (!existsSync(dirname(missing))) missing = dirname(missing);
  const near = similarName(basename(missing), entriesOf(dirname(missing)));
  if (near === undefined) return undefined;
  const found = join(dirname(missing), near, relative(missing, absolute));
  if (!existsSync(found)) return undefined;
  return path === absolute ? found : relative(base, found);
}

/** The entry with the same name and another extension, or the most similar name with the same extension, which counts as no likeness. */
function similarName(name: string, entries: readonly string[]): string | undefined {
  const extension = extname(name);
  const stem = basename(name, extension);
  const other = extension === "" ? undefined : entries.find((entry) => basename(entry, extname(entry)) === stem);
  if (other !== undefined) return other;
  const stems = entries.flatMap((entry) => (extname(entry) === extension ? [basename(entry, extension)] : []));
  const near = suggest(stem, stems);
  return near === undefined ? undefined : `${near}${extension}`;
}

/** Empty for a file and for a directory that this process cannot list. */
function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
