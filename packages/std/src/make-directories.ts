import { mkdirSync, rmSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/**
 * Makes a directory and those that lead to it, and returns the first that it made: undefined if all were there.
 *
 * Node's own `recursive` never returns where the system lets nobody make a directory in one that is there, as in /proc.
 *
 * @throws the error of the operating system; what was made until then is gone again
 */
export function makeDirectories(path: string, mode = 0o777): string | undefined {
  const missing: string[] = [];
  let at = resolve(path);
  for (; statSync(at, { throwIfNoEntry: false }) === undefined && dirname(at) !== at; at = dirname(at)) missing.push(at);
  // Something that is there and is no directory: the call below says so as the system does.
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
    // Another process was faster.
    if ((error as NodeJS.ErrnoException).code === "EEXIST" && statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true)
      return;
    throw error;
  }
}
