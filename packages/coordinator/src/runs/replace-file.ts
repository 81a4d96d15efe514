import { renameSync, writeFileSync } from "node:fs";

/** Replaces a small file as a whole. */
export function replaceFile(path: string, text: string, mode = 0o644): void {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, text, { mode });
  renameSync(temporary, path);
}
