import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectories } from "@lapidary/std";

export interface ReplaceOptions {
  /** Entries that go away even if the new files have none of their name. */
  readonly replaces?: readonly string[];
  /** The entry that says that all others are there: it goes away first and comes last. */
  readonly seal?: string;
}

/**
 * Fills a directory as a whole or not at all: `write` fills a new one inside it, whose entries are then moved over. When it fails, nothing that is new
 * stays, and what was there is as it was. Entries that the new one does not have stay.
 */
export async function writeDirectoryAtomic<T>(
  directory: string,
  write: (staging: string) => Promise<T>,
  { replaces = [], seal }: ReplaceOptions = {},
): Promise<T> {
  const made = makeDirectories(directory);
  // Inside, because the directory may be on a file system of its own.
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

/** A file replaces a file; a directory takes the place of whatever is there. */
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
