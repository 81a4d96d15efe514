import {
  appendFileSync,
  closeSync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32 } from "@lapidary/fabric";
import { syncDirectory } from "@lapidary/std";
import type { DiskFiles } from "./disk-files.js";
import { type NativeDisk, nativeDisk } from "./native-disk.js";

/**
 * The disk of checkpoints and step logs, with the operations that they need. It is an argument, so that a simulation can drop unsynced data, and tests
 * can make it fail. A name survives a power cut only after a sync of its directory, and the bytes of a file only after a sync of the file.
 */
export interface Disk {
  /** Creates empty files in a directory, which is created if it is missing. Existing files are replaced. */
  create(directory: string, names: readonly string[]): Promise<DiskFiles>;
  syncDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file, or a directory with its contents. A missing one is not an error. */
  remove(path: string): Promise<void>;
  /** Names in a directory; none if it is missing. */
  list(path: string): Promise<string[]>;
  /** Undefined if it is missing. */
  size(path: string): Promise<number | undefined>;
  /** A small file, whole; undefined if it is missing. */
  read(path: string): Promise<Uint8Array | undefined>;
  /**
   * Checksums (crc32) of adjacent segments of files on disk, by file. They cover only the segments that the file has completely, and one more if
   * the file continues after the last.
   *
   * @param files lengths of segments, by name
   */
  checksums(directory: string, files: ReadonlyMap<string, readonly number[]>): Promise<readonly (readonly number[])[]>;
  /** Appends to a file of lines, which is created if it is missing. */
  append(path: string, text: string): void;
  syncFile(path: string): void;
  /** Truncates a file. */
  truncate(path: string, bytes: number): void;
  readText(path: string): string | undefined;
  /** Creates a file, and its directory; false if the file existed. */
  createExclusive(path: string, text: string): boolean;
  /** Like `list`, `remove` and `syncDirectory`, synchronously. */
  listNow(path: string): string[];
  removeNow(path: string): void;
  syncDirectoryNow(path: string): void;
}

/** Maximum bytes of one write call; the limit of the system is 2 GiB. */
const chunkBytes = 1 << 26;
/** Size of one read. */
const readBytes = 1 << 20;

/** @param native without it the files of checkpoints go through the page cache, which costs ten times the processor time */
export const nodeDiskWith = (native: NativeDisk | undefined): Disk => ({
  create: (directory, names) => (native === undefined ? createThroughNode(directory, names) : native.create(directory, names)),
  async syncDirectory(path) {
    if (native !== undefined) return native.syncDirectory(path);
    const directory = await open(path, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  rename,
  remove: (path) => (native === undefined ? rm(path, { recursive: true, force: true }) : native.remove(path)),
  list: (path) => orMissing(readdir(path), []),
  size: (path) =>
    orMissing<number | undefined>(
      stat(path).then(({ size }) => size),
      undefined,
    ),
  read: (path) => orMissing<Uint8Array | undefined>(readFile(path), undefined),
  async checksums(directory, files) {
    if (native !== undefined) return native.checksums(directory, files);
    const sums: number[][] = [];
    for (const [name, lengths] of files) sums.push(await checksumsOf(chunksOf(join(directory, name)), lengths));
    return sums;
  },
  append: (path, text) => appendFileSync(path, text, { mode: 0o600 }),
  syncFile(path) {
    const file = openSync(path, "r+");
    try {
      fdatasyncSync(file);
    } finally {
      closeSync(file);
    }
  },
  truncate: truncateSync,
  readText: (path) => unlessMissing<string | undefined>(() => readFileSync(path, "utf8"), undefined),
  createExclusive(path, text) {
    mkdirSync(dirname(path), { recursive: true });
    try {
      writeFileSync(path, text, { flag: "wx", mode: 0o600 });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    }
  },
  listNow: (path) => unlessMissing<string[]>(() => readdirSync(path), []),
  removeNow: (path) => rmSync(path, { force: true }),
  syncDirectoryNow: syncDirectory,
});

export const nodeDisk = nodeDiskWith(nativeDisk);

async function createThroughNode(directory: string, names: readonly string[]): Promise<DiskFiles> {
  await makeDirectory(directory);
  const files: FileHandle[] = [];
  const closeAll = () => settled(files.splice(0).map((file) => file.close()));
  try {
    for (const name of names) files.push(await open(join(directory, name), "w"));
  } catch (error) {
    await closeAll().catch(() => undefined);
    throw error;
  }
  return {
    async write(parts) {
      for (const [i, file] of files.entries())
        for (const { bytes } of parts[i] ?? [])
          for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, Math.min(chunkBytes, bytes.length - at))).bytesWritten;
      return parts.map((ofFile) => ofFile.map((part) => part.crc32 ?? crc32(part.bytes)));
    },
    sync: () => settled(files.map((file) => file.sync())),
    close: closeAll,
  };
}

async function makeDirectory(path: string): Promise<void> {
  try {
    // Not `recursive`: it would report a read-only disk as a missing directory.
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") await mkdir(path, { recursive: true });
    else if (code !== "EEXIST") throw error;
  }
}

/** Waits until all have ended, also after an error, so that no file is closed or removed while it is in use. @throws the first error */
async function settled(work: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === "rejected") throw result.reason;
}

/** Computes the result of `Disk.checksums` for a file that is read in pieces. */
export async function checksumsOf(chunks: AsyncIterable<Uint8Array>, lengths: readonly number[]): Promise<number[]> {
  const sums: number[] = [];
  let [sum, left] = [0, lengths[0] ?? 0];
  const endParts = (): void => {
    while (left === 0 && sums.length < lengths.length) {
      sums.push(sum);
      sum = 0;
      left = lengths[sums.length] ?? 0;
    }
  };
  endParts();
  for await (const chunk of chunks)
    for (let at = 0; at < chunk.length; ) {
      const length = Math.min(left, chunk.length - at);
      if (length === 0) return [...sums, 0];
      sum = crc32(chunk.subarray(at, at + length), sum);
      at += length;
      left -= length;
      endParts();
    }
  return sums;
}

async function* chunksOf(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path, "r");
  try {
    const buffer = new Uint8Array(readBytes);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

function unlessMissing<T>(work: () => T, missing: T): T {
  try {
    return work();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return missing;
    throw error;
  }
}

async function orMissing<T>(work: Promise<T>, missing: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return missing;
    throw error;
  }
}
