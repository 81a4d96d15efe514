import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
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
  const near = suggest(basename(missing), entriesOf(dirname(missing)));
  if (near === undefined) return undefined;
  const found = join(dirname(missing), near, relative(missing, absolute));
  if (!existsSync(found)) return undefined;
  return path === absolute ? found : relative(base, found);
}

/** Empty for a file and for a directory that this process cannot list. */
function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
