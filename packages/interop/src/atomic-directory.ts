import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectories } from "@lapidary/std";

export interface ReplaceOptions {
  /** Entries to remove even if the new directory has no entry of this name. */
  readonly replaces?: readonly string[];
  /** The entry whose presence means that all others are complete: it is removed first and written last. */
  readonly seal?: string;
}

/**
 * Writes the entries of a directory atomically. `write` fills a staging directory inside it, whose entries are then moved up. If `write` fails,
 * the directory does not change. Entries that the staging directory does not have are kept.
 */
export async function writeDirectoryAtomic<T>(
  directory: string,
  write: (staging: string) => Promise<T>,
  { replaces = [], seal }: ReplaceOptions = {},
): Promise<T> {
  const made = makeDirectories(directory);
  // Stage inside the directory, because a rename needs the same file system.
  const staging = join(directory, `.lapidary.${process.pid}.tmp`);
  try {
    await rm(staging, { recursive: true, force: true });
    await mkdir(staging);
    const written = await write(staging);
    const names = (await readdir(staging)).sort((a, b) => Number(a === seal) - Number(b === seal));
    if (seal !== undefined) await rm(join(directory, seal), { force: true });
    for (const name of replaces) await rm(join(directory, name), { recursive: true, force: true });
    for (const name of names) await moveOver(join(staging, name), join(directory, name));
    await rm(staging, { recursive: true, force: true });
    return written;
  } catch (error) {
    await rm(made ?? staging, { recursive: true, force: true });
    throw error;
  }
}

/** Moves a file or a directory, and replaces an existing file or directory at the target. */
async function moveOver(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "EISDIR" && code !== "ENOTDIR") throw error;
    await rm(to, { recursive: true, force: true });
    await rename(from, to);
  }
}
