import { libraryPath } from "./library-path.js";
import { type FunctionNames, hasFunctions, loadLibrary } from "./load-library.js";
import type { SharedFile } from "./staging.js";

declare const files: unique symbol;

/** Files of one directory that are being written. */
interface OpenFiles {
  readonly [files]: true;
}

/** The exports of the disk library (Linux only). Its promises reject with a `DiskError`. */
export interface DiskLibrary {
  /** Creates empty files, and their directory if it is missing. */
  create(directory: string, names: readonly string[]): Promise<OpenFiles>;
  /**
   * Appends parts, `counts` of them to each file.
   *
   * @param checksums of the parts, if they are known
   * @returns the checksums of all parts
   */
  write(
    files: OpenFiles,
    counts: readonly number[],
    parts: readonly Uint8Array[],
    checksums: readonly (number | undefined)[],
  ): Promise<number[]>;
  /** Resolves when all bytes are on the disk. */
  sync(files: OpenFiles): Promise<void>;
  close(files: OpenFiles): void;
  /**
   * Reads files from the disk.
   *
   * @param lengths of the parts of each file
   * @returns for each file the checksums of the parts that it has, and one more if it continues after the last part
   */
  checksums(paths: readonly string[], lengths: readonly (readonly number[])[]): Promise<number[][]>;
  /** Moves shared memory that was written to large pages. A system without large pages leaves it as it is. The contents do not change. */
  onLargePages(bytes: Uint8Array): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /** Removes a file, or a directory with all its contents. A missing path is not an error. */
  remove(path: string): Promise<void>;
  /** @returns undefined if the allocation fails */
  share(bytes: number): SharedFile | undefined;
  /** CRC-32, continued from the checksum of the bytes before. */
  crc32(bytes: Uint8Array, previous: number): number;
}

const diskFunctions: FunctionNames<DiskLibrary> = {
  create: true,
  write: true,
  sync: true,
  close: true,
  checksums: true,
  onLargePages: true,
  syncDirectory: true,
  remove: true,
  share: true,
  crc32: true,
};

/** A failed system call. */
export interface DiskError {
  /** The number of the system, positive. */
  readonly errno: number;
  readonly syscall: string;
  /** The file, if the work was on several. */
  readonly path?: string | undefined;
}

/** Whether an error is one of the disk library. */
export const isDiskError = (error: unknown): error is Error & DiskError =>
  error instanceof Error && typeof Reflect.get(error, "errno") === "number" && typeof Reflect.get(error, "syscall") === "string";

/** Undefined if the library is missing: Node then writes the files. */
export function loadDisk(path = libraryPath("disk")): DiskLibrary | undefined {
  const library = loadLibrary(path);
  return typeof library !== "string" && hasFunctions<DiskLibrary>(library, diskFunctions) ? library : undefined;
}
