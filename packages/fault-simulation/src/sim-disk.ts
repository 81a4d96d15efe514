import { basename, dirname } from "node:path";
import { crc32 } from "@lapidary/fabric";
import { assert, ensure } from "@lapidary/std";
import { type Disk, type DiskFiles, checksumsOf } from "@lapidary/checkpoint";
import type { VirtualTime } from "./virtual-time.js";

class SimFile {
  now: Uint8Array = new Uint8Array();
  durable: Uint8Array = new Uint8Array();
}

class SimDirectory {
  readonly now = new Map<string, SimFile | SimDirectory>();
  /** The durable content, which survives a power cut. */
  readonly durable = new Map<string, SimFile | SimDirectory>();
  /** Changes of names that were not synced, in order. */
  readonly pending: ((names: Map<string, SimFile | SimDirectory>) => void)[] = [];
}

/**
 * A disk in memory with delays. A power cut drops data that was not synced: any number of the last changes to a directory, and any part of the last
 * writes to a file. A process that dies loses no write.
 */
export class SimDisk {
  #root = new SimDirectory();
  /** Writes and syncs fail while this is set. */
  broken: "ENOSPC" | "EIO" | undefined;

  constructor(private readonly time: VirtualTime) {}

  /** A power cut: no process is left, and only a part of the unsynced data. */
  cutPower(): void {
    const { random } = this.time;
    const after = (directory: SimDirectory): SimDirectory => {
      const names = new Map(directory.durable);
      for (const change of directory.pending.slice(0, random.integer(directory.pending.length + 1))) change(names);
      const left = new SimDirectory();
      for (const [name, entry] of names) {
        const kept = entry instanceof SimDirectory ? after(entry) : afterFile(entry);
        left.now.set(name, kept);
        left.durable.set(name, kept);
      }
      return left;
    };
    const afterFile = ({ now, durable }: SimFile): SimFile => {
      const file = new SimFile();
      const isAppended = now.length >= durable.length && durable.every((byte, i) => byte === now[i]);
      file.now = isAppended ? now.slice(0, durable.length + random.integer(now.length - durable.length + 1)) : durable;
      file.durable = file.now;
      return file;
    };
    this.#root = after(this.#root);
  }

  /** Flips a bit of a file. */
  flip(path: string): boolean {
    const file = this.#find(path);
    if (!(file instanceof SimFile) || file.now.length === 0) return false;
    const bytes = file.now.slice();
    const at = this.time.random.integer(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << this.time.random.integer(8));
    file.now = bytes;
    file.durable = bytes;
    return true;
  }

  /**
   * The disk of one process.
   *
   * @param isAlive an operation of a process that has died has no effect, and never ends
   */
  // biome-ignore lint/complexity/noExcessiveLinesPerFunction: a table with one entry for each operation of a disk
  of(isAlive: () => boolean): Disk {
    const slow = async <T>(work: () => T): Promise<T> => {
      await this.time.pass(2);
      if (!isAlive()) return new Promise<never>(() => undefined);
      return work();
    };
    const at = <T>(work: () => T): T => {
      assert(isAlive(), "a dead process does nothing");
      return work();
    };
    const refuse = (syscall: string): void => {
      if (this.broken !== undefined) throw Object.assign(new Error(`${this.broken}, ${syscall}`), { code: this.broken, syscall });
    };
    return {
      create: async (directory, names): Promise<DiskFiles> => {
        await slow(() => this.#makeDirectory(directory));
        const files: SimFile[] = [];
        for (const name of names)
          await slow(() => {
            refuse("open");
            const file = new SimFile();
            this.#set(`${directory}/${name}`, file);
            files.push(file);
          });
        // One after the other, because the power cut may come between any two.
        return {
          write: async (parts) => {
            for (const [i, file] of files.entries())
              await slow(() => {
                refuse("write");
                for (const { bytes } of parts[i] ?? []) file.now = join(file.now, bytes);
              });
            return parts.map((ofFile) => ofFile.map((part) => part.crc32 ?? crc32(part.bytes)));
          },
          sync: async () => {
            for (const file of files)
              await slow(() => {
                refuse("fsync");
                file.durable = file.now;
              });
          },
          close: () => slow(() => undefined),
        };
      },
      syncDirectory: (path) =>
        slow(() => {
          refuse("fsync");
          this.#syncNames(path);
        }),
      rename: (from, to) =>
        slow(() => {
          assert(dirname(from) === dirname(to), "a name changes within its directory");
          const entry = this.#find(from);
          if (entry === undefined) throw Object.assign(new Error(`ENOENT, rename '${from}'`), { code: "ENOENT", syscall: "rename" });
          this.#change(dirname(from), (names) => {
            names.delete(basename(from));
            names.set(basename(to), entry);
          });
        }),
      remove: (path) => slow(() => this.#remove(path)),
      list: (path) => slow(() => this.#names(path)),
      size: (path) =>
        slow(() => {
          const entry = this.#find(path);
          return entry === undefined ? undefined : entry instanceof SimFile ? entry.now.length : 4096;
        }),
      read: (path) => slow(() => this.#bytes(path)),
      checksums: async (directory, files) => {
        const sums: number[][] = [];
        for (const [name, lengths] of files)
          sums.push(await checksumsOf(chunksOf(slow(() => ensure(this.#bytes(`${directory}/${name}`), name))), lengths));
        return sums;
      },
      append: (path, text) =>
        at(() => {
          const known = this.#find(path);
          const file = known instanceof SimFile ? known : new SimFile();
          if (known === undefined) this.#set(path, file);
          const bytes = new TextEncoder().encode(text);
          file.now = join(file.now, this.broken === undefined ? bytes : bytes.subarray(0, this.time.random.integer(bytes.length)));
          refuse("write");
        }),
      syncFile: (path) =>
        at(() => {
          refuse("fsync");
          const file = this.#find(path);
          if (file instanceof SimFile) file.durable = file.now;
        }),
      truncate: (path, bytes) =>
        at(() => {
          const file = this.#find(path);
          if (file instanceof SimFile) file.now = file.now.slice(0, bytes);
        }),
      readText: (path) =>
        at(() => {
          const bytes = this.#bytes(path);
          return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
        }),
      createExclusive: (path, text) =>
        at(() => {
          this.#makeDirectory(dirname(path));
          if (this.#find(path) !== undefined) return false;
          const file = new SimFile();
          file.now = new TextEncoder().encode(text);
          this.#set(path, file);
          return true;
        }),
      listNow: (path) => at(() => this.#names(path)),
      removeNow: (path) => at(() => this.#remove(path)),
      syncDirectoryNow: (path) =>
        at(() => {
          refuse("fsync");
          this.#syncNames(path);
        }),
    };
  }

  #bytes(path: string): Uint8Array | undefined {
    const file = this.#find(path);
    return file instanceof SimFile ? file.now : undefined;
  }

  #names(path: string): string[] {
    const directory = this.#find(path);
    return directory instanceof SimDirectory ? [...directory.now.keys()] : [];
  }

  #remove(path: string): void {
    if (this.#find(path) !== undefined) this.#change(dirname(path), (names) => void names.delete(basename(path)));
  }

  #set(path: string, entry: SimFile | SimDirectory): void {
    this.#change(dirname(path), (names) => void names.set(basename(path), entry));
  }

  #change(path: string, change: (names: Map<string, SimFile | SimDirectory>) => void): void {
    const directory = this.#directory(path);
    change(directory.now);
    directory.pending.push(change);
  }

  #syncNames(path: string): void {
    const directory = this.#directory(path);
    for (const change of directory.pending.splice(0)) change(directory.durable);
  }

  #makeDirectory(path: string): void {
    if (path === "/" || this.#find(path) !== undefined) return;
    this.#makeDirectory(dirname(path));
    this.#set(path, new SimDirectory());
  }

  #directory(path: string): SimDirectory {
    const found = this.#find(path);
    assert(found instanceof SimDirectory, "a directory is there", path);
    return found;
  }

  #find(path: string): SimFile | SimDirectory | undefined {
    let at: SimFile | SimDirectory | undefined = this.#root;
    for (const name of path.split("/").filter((part) => part !== "")) at = at instanceof SimDirectory ? at.now.get(name) : undefined;
    return at;
  }
}

async function* chunksOf(reading: Promise<Uint8Array>): AsyncGenerator<Uint8Array> {
  const bytes = await reading;
  for (let at = 0; at < bytes.length; at += 64) yield bytes.subarray(at, at + 64);
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
