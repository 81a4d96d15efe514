import { renameSync, rmSync, writeFileSync } from "node:fs";

/**
 * Replaces a small file atomically: a reader sees the old or the new text. After a failure the old file remains. The text is not synced to the disk;
 * `writeFileAtomic` of interop also does that.
 */
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
