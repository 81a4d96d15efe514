import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { makeDirectories } from "@lapidary/std";

/** Maximum bytes of one read or write call; the limit of the system is 2 GiB. */
const chunkBytes = 1 << 26;

/**
 * Replaces the file at `path` atomically and durably: writes a temporary file in the same directory, flushes it to disk, renames it over
 * the target, and flushes the directory. A crash leaves the old file, and at most one `.tmp` file. `replaceFile` of std is for small files that need no flush.
 *
 * @param parts byte ranges, written in the order of the iterable
 */
export async function writeFileAtomic(path: string, parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
  const directory = dirname(path);
  makeDirectories(directory);
  const temporary = join(directory, `.${basename(path)}.${process.pid}.tmp`);
  try {
    const file = await open(temporary, "w");
    try {
      for await (const part of parts) await writeAll(file, part);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const parent = await open(directory, "r");
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}

/** Copies the content of a file without its permissions; the copy gets those of the user's umask. */
export async function copyContent(from: string, to: string): Promise<void> {
  await writeFile(to, createReadStream(from));
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, Math.min(chunkBytes, bytes.length - at))).bytesWritten;
}

/** Fills `target` from `position` of the file; returns false if the file is too short. */
export async function readExactly(file: FileHandle, target: Uint8Array, position: number): Promise<boolean> {
  for (let at = 0; at < target.length; ) {
    const { bytesRead } = await file.read(target, at, Math.min(chunkBytes, target.length - at), position + at);
    if (bytesRead === 0) return false;
    at += bytesRead;
  }
  return true;
}
