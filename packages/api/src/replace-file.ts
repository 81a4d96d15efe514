import { renameSync, rmSync, writeFileSync } from "node:fs";

/** Replaces a small file as a whole; on failure nothing of the new one stays. */
export function replaceFile(path: string, text: string, mode = 0o644): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, text, { mode });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
