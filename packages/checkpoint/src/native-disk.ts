import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import type { DiskFiles } from "./disk.js";

/** Files that native/disk.cc writes. */
type NativeFiles = object & { readonly native: unique symbol };

/** What native/disk.cc exports, where the system has what it needs. Its errors have a `syscall` and the system's number. */
interface DiskModule {
  create(directory: string, names: readonly string[]): Promise<NativeFiles>;
  write(
    files: NativeFiles,
    counts: readonly number[],
    parts: readonly Uint8Array[],
    sums: readonly (number | undefined)[],
  ): Promise<number[]>;
  sync(files: NativeFiles): Promise<void>;
  close(files: NativeFiles): void;
  checksums(paths: readonly string[], lengths: readonly (readonly number[])[]): Promise<number[][]>;
  onLargePages(bytes: Uint8Array): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  remove(path: string): Promise<void>;
  share(bytes: number): { readonly file: number; readonly memory: ArrayBuffer } | undefined;
  crc32(bytes: Uint8Array, seed: number): number;
}

/** Memory that other processes of this machine can open. It is freed when this process has no reference to it. */
export interface SharedMemory {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** To be asked once it was written: on large pages it costs less to write to a disk. */
  onLargePages(): Promise<void>;
}

/** Files past the page cache, on threads of their own. */
export class NativeDisk {
  readonly #module: DiskModule;

  private constructor(module: DiskModule) {
    this.#module = module;
  }

  /** Undefined without the module, which set-up builds where it can. */
  static load(path = fileURLToPath(new URL("../../coordinator/native/lapidary_disk.node", import.meta.url))): NativeDisk | undefined {
    try {
      const module = createRequire(import.meta.url)(path) as Partial<DiskModule>;
      return module.create === undefined ? undefined : new NativeDisk(module as DiskModule);
    } catch {
      return undefined;
    }
  }

  async create(directory: string, names: readonly string[]): Promise<DiskFiles> {
    const module = this.#module;
    const files = await asNodeError(module.create(directory, names), directory);
    return {
      async write(parts) {
        const all = parts.flat();
        const counts = parts.map(({ length }) => length);
        const sums = await asNodeError(
          module.write(
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
      sync: () => asNodeError(module.sync(files), directory),
      close: () =>
        asNodeError(
          Promise.resolve().then(() => module.close(files)),
          directory,
        ),
    };
  }

  checksums(directory: string, files: ReadonlyMap<string, readonly number[]>): Promise<number[][]> {
    return asNodeError(
      this.#module.checksums(
        [...files.keys()].map((name) => join(directory, name)),
        [...files.values()],
      ),
      directory,
    );
  }

  syncDirectory(path: string): Promise<void> {
    return asNodeError(this.#module.syncDirectory(path), path);
  }

  /** A file, or a directory with all in it; nothing if it is not there. One piece of work, where Node's has one for each file. */
  remove(path: string): Promise<void> {
    return asNodeError(this.#module.remove(path), path);
  }

  crc32(bytes: Uint8Array, seed = 0): number {
    return this.#module.crc32(bytes, seed);
  }

  /** Undefined where the system gives none. */
  share(bytes: number): SharedMemory | undefined {
    const shared = this.#module.share(bytes);
    if (shared === undefined) return undefined;
    const memory = new Uint8Array(shared.memory);
    return { path: `/proc/${process.pid}/fd/${shared.file}`, bytes: memory, onLargePages: () => this.#module.onLargePages(memory) };
  }
}

/** Errors as those of `node:fs` are. @param place the path of the operation, unless the error names one of several */
async function asNodeError<T>(work: Promise<T>, place: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { errno, syscall, path = place } = error as { readonly errno?: number; readonly syscall?: string; readonly path?: string };
    if (errno === undefined || syscall === undefined) throw error;
    const code = getSystemErrorName(-errno);
    throw Object.assign(new Error(`${code}: ${syscall} '${path}'`, { cause: error }), { code, errno: -errno, syscall, path });
  }
}

export const nativeDisk = NativeDisk.load();
