import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";

/** A file that native/disk.cc writes. */
type NativeFile = object & { readonly native: unique symbol };

/** What native/disk.cc exports, where the system has what it needs. Its errors have a `syscall` and the system's number. */
interface DiskModule {
  create(path: string): Promise<NativeFile>;
  write(file: NativeFile, parts: readonly Uint8Array[]): Promise<number[]>;
  sync(file: NativeFile): Promise<void>;
  close(file: NativeFile): void;
  checksums(path: string, lengths: readonly number[]): Promise<number[]>;
  syncDirectory(path: string): Promise<void>;
  remove(path: string): Promise<void>;
  share(bytes: number): { readonly file: number; readonly memory: ArrayBuffer } | undefined;
  crc32(bytes: Uint8Array, seed: number): number;
}

/** Memory that other processes of this machine can open. It goes when nobody here holds it any more. */
export interface SharedMemory {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** Files past the page cache, on threads of their own. */
export class NativeDisk {
  readonly #module: DiskModule;

  private constructor(module: DiskModule) {
    this.#module = module;
  }

  /** Undefined without the module, which set-up builds where it can. */
  static load(path = fileURLToPath(new URL("../../native/lapidary_disk.node", import.meta.url))): NativeDisk | undefined {
    try {
      const module = createRequire(import.meta.url)(path) as Partial<DiskModule>;
      return module.create === undefined ? undefined : new NativeDisk(module as DiskModule);
    } catch {
      return undefined;
    }
  }

  async create(path: string): Promise<{
    write(parts: readonly Uint8Array[]): Promise<number[]>;
    sync(): Promise<void>;
    close(): Promise<void>;
  }> {
    const file = await asNodeError(this.#module.create(path), path);
    return {
      write: (parts) => asNodeError(this.#module.write(file, parts), path),
      sync: () => asNodeError(this.#module.sync(file), path),
      close: () =>
        asNodeError(
          Promise.resolve().then(() => this.#module.close(file)),
          path,
        ),
    };
  }

  checksums(path: string, lengths: readonly number[]): Promise<number[]> {
    return asNodeError(this.#module.checksums(path, lengths), path);
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
    return shared === undefined ? undefined : { path: `/proc/${process.pid}/fd/${shared.file}`, bytes: new Uint8Array(shared.memory) };
  }
}

/** Errors as those of `node:fs` are. */
async function asNodeError<T>(work: Promise<T>, path: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { errno, syscall } = error as { readonly errno?: number; readonly syscall?: string };
    if (errno === undefined || syscall === undefined) throw error;
    const code = getSystemErrorName(-errno);
    throw Object.assign(new Error(`${code}: ${syscall} '${path}'`, { cause: error }), { code, errno: -errno, syscall, path });
  }
}

export const nativeDisk = NativeDisk.load();
