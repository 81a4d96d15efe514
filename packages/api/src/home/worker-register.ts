import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { directoryStamp } from "@lapidary/std";
import { type NumericsName, protocolVersion } from "@lapidary/protocol";
import { isRunning, type ProcessId } from "@lapidary/std/process-id";
import { replaceFile } from "../replace-file.js";

/** A worker process that works for a home. */
export interface RegisteredWorker extends ProcessId {
  readonly name: string;
  readonly numerics: NumericsName;
}

interface Register {
  readonly protocol: number;
  /** The directory of the file: a copy of a home has no workers. Absent in files of earlier versions. */
  readonly directory?: string;
  readonly workers: readonly RegisteredWorker[];
}

/** Where a home's coordinator writes down which worker processes it has: its successor takes them over, and nobody else is let in. */
export const registerPath = (home: string): string => join(home, "workers.json");

export function writeRegister(path: string, workers: readonly RegisteredWorker[]): void {
  const register: Register = { protocol: protocolVersion, directory: directoryStamp(dirname(path)), workers };
  replaceFile(path, `${JSON.stringify(register)}\n`, 0o600);
}

export const removeRegister = (path: string): void => rmSync(path, { force: true });

/** The workers that a coordinator left behind and that still run; `strangers` would not understand what this build says. */
export function leftWorkers(path: string): {
  readonly workers: readonly RegisteredWorker[];
  readonly strangers: readonly RegisteredWorker[];
} {
  const { protocol, workers } = readRegister(path);
  const left = workers.filter(isRunning);
  return protocol === protocolVersion ? { workers: left, strangers: [] } : { workers: [], strangers: left };
}

function readRegister(path: string): Register {
  const none: Register = { protocol: protocolVersion, workers: [] };
  if (!existsSync(path)) return none;
  try {
    const register = JSON.parse(readFileSync(path, "utf8")) as Register;
    return register.directory === undefined || register.directory === directoryStamp(dirname(path)) ? register : none;
  } catch {
    // Nothing that we wrote, for the file is replaced as a whole.
    return none;
  }
}
