import { mkdirSync, rmSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/**
 * Creates a directory and its missing parents. Returns the first created directory, or undefined if all existed.
 *
 * `recursive` of Node never returns if the system does not allow new directories in an existing one, as in /proc.
 *
 * @throws the error of the operating system; directories that were created before are removed
 */
export function makeDirectories(path: string, mode = 0o777): string | undefined {
  const missing: string[] = [];
  let at = resolve(path);
  for (; statSync(at, { throwIfNoEntry: false }) === undefined && dirname(at) !== at; at = dirname(at)) missing.push(at);
  // The path exists and is not a directory: the call below throws the error of the system.
  if (missing.length === 0 && statSync(at).isDirectory()) return undefined;
  const first = missing.at(-1);
  try {
    for (const directory of missing.length === 0 ? [at] : missing.reverse()) makeOne(directory, mode);
  } catch (error) {
    if (first !== undefined) rmSync(first, { recursive: true, force: true });
    throw error;
  }
  return first;
}

function makeOne(directory: string, mode: number): void {
  try {
    mkdirSync(directory, { mode });
  } catch (error) {
    // Another process has created the directory.
    if ((error as NodeJS.ErrnoException).code === "EEXIST" && statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true)
      return;
    throw error;
  }
}
