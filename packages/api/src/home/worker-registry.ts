import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { directoryStamp, replaceFile } from "@lapidary/std";
import { type NumericsName, protocolVersion } from "@lapidary/protocol";
import { isRunning, type ProcessId } from "@lapidary/std/process-id";

/** A worker process of a coordinator. */
export interface RegisteredWorker extends ProcessId {
  readonly name: string;
  readonly numerics: NumericsName;
}

interface Registry {
  readonly protocol: number;
  /** The directory of the file: a copy of a state directory has no workers. Absent in files of earlier versions. */
  readonly directory?: string;
  readonly workers: readonly RegisteredWorker[];
}

/** The file in which a coordinator lists its worker processes. The next coordinator takes them over, and no other process may connect. */
export const registryPath = (home: string): string => join(home, "workers.json");

export function writeRegistry(path: string, workers: readonly RegisteredWorker[]): void {
  const registry: Registry = { protocol: protocolVersion, directory: directoryStamp(dirname(path)), workers };
  replaceFile(path, `${JSON.stringify(registry)}\n`, 0o600);
}

export const removeRegistry = (path: string): void => rmSync(path, { force: true });

/** The workers of an earlier coordinator that still run; those in `incompatible` have another protocol version. */
export function orphanedWorkers(path: string): {
  readonly workers: readonly RegisteredWorker[];
  readonly incompatible: readonly RegisteredWorker[];
} {
  const { protocol, workers } = readRegistry(path);
  const left = workers.filter(isRunning);
  return protocol === protocolVersion ? { workers: left, incompatible: [] } : { workers: [], incompatible: left };
}

function readRegistry(path: string): Registry {
  const none: Registry = { protocol: protocolVersion, workers: [] };
  if (!existsSync(path)) return none;
  try {
    const registry = JSON.parse(readFileSync(path, "utf8")) as Registry;
    return registry.directory === undefined || registry.directory === directoryStamp(dirname(path)) ? registry : none;
  } catch {
    // Lapidary replaces the file atomically, so that a damaged file is not from Lapidary.
    return none;
  }
}
