import { closeSync, fdatasyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";

/**
 * Replaces a file atomically: a reader sees the old or the new text, also after a power cut. After a failure the old file remains. The new name is
 * not synced: `writeFileAtomic` of interop also does that.
 *
 * @param text the content, or its parts in order, each written before the next one is asked for
 */
export function replaceFile(path: string, text: string | Iterable<string>, mode = 0o644): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = openSync(temporary, "w", mode);
    try {
      for (const part of typeof text === "string" ? [text] : text) writeFileSync(file, part);
      fdatasyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
