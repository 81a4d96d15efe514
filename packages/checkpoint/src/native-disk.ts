import { join } from "node:path";
import { getSystemErrorName } from "node:util";
import { type DiskLibrary, isDiskError, loadDisk } from "@lapidary/native";
import type { DiskFiles } from "./disk-files.js";

/** Memory that other processes of this machine can open. It is freed when this process has no reference to it. */
export interface SharedMemory {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Call it after the first write: from large pages, writes to a disk cost less. */
  onLargePages(): Promise<void>;
}

/** Files past the page cache, on threads of the native library. */
export class NativeDisk {
  readonly #library: DiskLibrary;

  private constructor(library: DiskLibrary) {
    this.#library = library;
  }

  /** Undefined without the library, which the set-up builds if possible. */
  static load(path?: string): NativeDisk | undefined {
    const library = loadDisk(path);
    return library === undefined ? undefined : new NativeDisk(library);
  }

  async create(directory: string, names: readonly string[]): Promise<DiskFiles> {
    const library = this.#library;
    const files = await asNodeError(library.create(directory, names), directory);
    return {
      async write(parts) {
        const all = parts.flat();
        const counts = parts.map(({ length }) => length);
        const sums = await asNodeError(
          library.write(
            files,
            counts,
            all.map(({ bytes }) => bytes),
            all.map(({ crc32 }) => crc32),
          ),
          directory,
        );
        let at = 0;
        return counts.map((count) => sums.slice(at, (at += count)));
      },
      sync: () => asNodeError(library.sync(files), directory),
      close: () =>
        asNodeError(
          Promise.resolve().then(() => library.close(files)),
          directory,
        ),
    };
  }

  checksums(directory: string, files: ReadonlyMap<string, readonly number[]>): Promise<number[][]> {
    return asNodeError(
      this.#library.checksums(
        [...files.keys()].map((name) => join(directory, name)),
        [...files.values()],
      ),
      directory,
    );
  }

  syncDirectory(path: string): Promise<void> {
    return asNodeError(this.#library.syncDirectory(path), path);
  }

  /**
   * Removes a file, or a directory with its contents. A missing one is not an error. It is one task for all files; Node has one task for each
   * file.
   */
  remove(path: string): Promise<void> {
    return asNodeError(this.#library.remove(path), path);
  }

  crc32(bytes: Uint8Array, seed = 0): number {
    return this.#library.crc32(bytes, seed);
  }

  /** Undefined if the system provides none. */
  share(bytes: number): SharedMemory | undefined {
    const shared = this.#library.share(bytes);
    if (shared === undefined) return undefined;
    const memory = new Uint8Array(shared.memory);
    return { path: `/proc/${process.pid}/fd/${shared.file}`, bytes: memory, onLargePages: () => this.#library.onLargePages(memory) };
  }
}

/** Converts an error to the form of `node:fs`. @param place the path of the operation, unless the error names another */
async function asNodeError<T>(work: Promise<T>, place: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isDiskError(error)) throw error;
    const { errno, syscall, path = place } = error;
    const code = getSystemErrorName(-errno);
    throw Object.assign(new Error(`${code}: ${syscall} '${path}'`, { cause: error }), { code, errno: -errno, syscall, path });
  }
}

export const nativeDisk = NativeDisk.load();
