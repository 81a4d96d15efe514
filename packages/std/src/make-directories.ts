import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/**
 * Makes a directory and those that lead to it, and returns the first that it made: undefined if all were there.
 *
 * Node's own `recursive` never returns where the system lets nobody make a directory in one that is there, as in /proc.
 *
 * @throws the error of the operating system
 */
export function makeDirectories(path: string, mode = 0o777): string | undefined {
  const missing: string[] = [];
  let at = resolve(path);
  for (; statSync(at, { throwIfNoEntry: false }) === undefined && dirname(at) !== at; at = dirname(at)) missing.push(at);
  // Something that is there and is no directory: the call below says so as the system does.
  if (missing.length === 0 && statSync(at).isDirectory()) return undefined;
  for (const directory of missing.length === 0 ? [at] : missing.reverse()) makeOne(directory, mode);
  return missing[0];
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
