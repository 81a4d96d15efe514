import { statSync } from "node:fs";

/**
 * Why this process must not run the code of a file: another user can change it. A file of this user or of root, which not every user can write, is trusted.
 *
 * @returns undefined for a trusted file, and for a file that does not exist
 */
export function distrustOf(path: string): string | undefined {
  const file = statSync(path, { throwIfNoEntry: false });
  const user = process.getuid?.();
  if (file === undefined || user === undefined) return undefined;
  if ((file.mode & 0o002) !== 0) return "every user can write to it";
  return file.uid === user || file.uid === 0 ? undefined : `it belongs to another user (uid ${file.uid})`;
}
