import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Runtime, systemRuntime } from "@lapidary/fabric";
import { type ProcessId, signalProcess } from "@lapidary/std/process-id";
import { orphanedWorkers, type RegisteredWorker, removeRegistry, writeRegistry } from "@lapidary/api/worker-registry";
import { adoptWorker, type HostProcess, type SpawnOptions, spawnWorker } from "./host-process.js";

/** What a pool needs from its machine: processes, a directory for sockets, and the file that lists its workers. The fault simulation has its own. */
export interface WorkerHost {
  readonly runtime: Runtime;
  /** The number of this process. */
  readonly pid: number;
  spawn(options: SpawnOptions): HostProcess;
  /** A process that another pool started. */
  adopt(id: ProcessId): HostProcess;
  signal(id: ProcessId, signal: NodeJS.Signals): void;
  /** Creates the directory for sockets, if it does not exist. @returns its path: by default a new directory in the temporary directory */
  openDirectory(path: string | undefined): string;
  /** Removes the sockets with these names. */
  removeSockets(directory: string, named: RegExp): void;
  removeDirectory(path: string): void;
  readonly registry: WorkerRegistry;
}

/** The file in which each pool records its workers for the next pool. */
interface WorkerRegistry {
  /** The workers of an earlier pool that still run; those in `incompatible` have another protocol version. */
  read(path: string): { readonly workers: readonly RegisteredWorker[]; readonly incompatible: readonly RegisteredWorker[] };
  write(path: string, workers: readonly RegisteredWorker[]): void;
  remove(path: string): void;
}

/** This machine. */
export const systemHost: WorkerHost = {
  runtime: systemRuntime,
  pid: process.pid,
  spawn: spawnWorker,
  adopt: adoptWorker,
  signal: signalProcess,
  openDirectory: (path = mkdtempSync(join(tmpdir(), "lapidary-"))) => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  },
  removeSockets: (directory, named) => {
    for (const socket of readdirSync(directory)) if (named.test(socket)) rmSync(join(directory, socket));
  },
  removeDirectory: (path) => rmSync(path, { recursive: true, force: true }),
  registry: { read: orphanedWorkers, write: writeRegistry, remove: removeRegistry },
};
