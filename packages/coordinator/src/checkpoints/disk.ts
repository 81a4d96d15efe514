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
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** A file that is being written. */
export interface DiskFile {
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when what was written survives a power cut. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The disk under checkpoints and ledgers, as narrow as they need it: passed in, so that a simulation can lose what was not synced, and tests can let
 * it refuse. A name survives a power cut only once its directory was synced, a file's bytes only once the file was.
 */
export interface Disk {
  makeDirectory(path: string): Promise<void>;
  /** An empty file, replacing what was there. */
  create(path: string): Promise<DiskFile>;
  syncDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** A file, or a directory with all in it; nothing happens if it is not there. */
  remove(path: string): Promise<void>;
  /** Names in a directory; none if it is not there. */
  list(path: string): Promise<string[]>;
  /** Undefined if it is not there. */
  size(path: string): Promise<number | undefined>;
  /** A small file, whole; undefined if it is not there. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** A file of any size, in order. */
  chunks(path: string): AsyncIterable<Uint8Array>;
  /** Appends to a file of lines, made if it is not there. */
  append(path: string, text: string): void;
  syncFile(path: string): void;
  /** Cuts a file off. */
  truncate(path: string, bytes: number): void;
  readText(path: string): string | undefined;
  /** Makes a file that was not there, and its directory; false if it was. */
  createExclusive(path: string, text: string): boolean;
  /** As `list` and `remove`, at once. */
  listNow(path: string): string[];
  removeNow(path: string): void;
}

/** One write call moves at most this; the system's limit is 2 GiB. */
const chunkBytes = 1 << 26;
/** A file is read in such pieces. */
const readBytes = 1 << 20;

export const nodeDisk: Disk = {
  async makeDirectory(path) {
    try {
      // Not `recursive` at once: that would tell a read-only disk as a missing directory.
      await mkdir(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") await mkdir(path, { recursive: true });
      else if (code !== "EEXIST") throw error;
    }
  },
  async create(path) {
    const file = await open(path, "w");
    return {
      async write(bytes) {
        for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, Math.min(chunkBytes, bytes.length - at))).bytesWritten;
      },
      sync: () => file.sync(),
      close: () => file.close(),
    };
  },
  async syncDirectory(path) {
    const directory = await open(path, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  rename,
  remove: (path) => rm(path, { recursive: true, force: true }),
  list: (path) => orMissing(readdir(path), []),
  size: (path) =>
    orMissing<number | undefined>(
      stat(path).then(({ size }) => size),
      undefined,
    ),
  read: (path) => orMissing<Uint8Array | undefined>(readFile(path), undefined),
  async *chunks(path) {
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
};

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
