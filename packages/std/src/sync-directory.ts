import { closeSync, fsyncSync, openSync } from "node:fs";

/** Makes the names in a directory survive a power cut. The sync of a file covers its bytes only. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
