import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

/**
 * Replaces `configs/…` of the command line by the file of that name that ships with Lapidary, unless the working directory has one. The
 * commands of the documentation therefore work in every directory.
 */
export const withShippedFiles = (words: readonly string[], cwd: string, root: string): string[] =>
  words.map((word) => {
    if (!word.startsWith("configs/") || existsSync(resolve(cwd, word))) return word;
    const shipped = join(root, word);
    return existsSync(shipped) ? shipped : word;
  });
