import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { directoryStamp } from "@lapidary/std";
import { isOfThisSpace, isRunning, type ProcessId, thisProcess } from "@lapidary/std/process-id";

/** The process that holds a lock, and the directory that it is for: in a copy of the directory the lock does not count. */
interface Owner extends ProcessId {
  readonly directory: string;
}

/** Interval at which the owner touches the file, because a process of another machine or container cannot be checked. */
const touchEvery_ms = 1000;
/** If the file is not touched for this time, its owner has ended. */
const silent_ms = 5 * touchEvery_ms;

/**
 * A file that lets one process at a time start the server of a directory. The lock of a process that is gone does not count: a process of this
 * start of this machine and of this container is known by its number and start time; of any other the file is watched for some seconds.
 */
export class StartLock {
  readonly #path: string;
  #refresh: NodeJS.Timeout | undefined;
  /** When the file was first seen with this time. */
  #seen: { readonly modified_ms: number; readonly at_ms: number } | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Acquires the lock if it is free; removes one whose owner has ended, so that the next call acquires it. */
  acquire(): boolean {
    const own: Owner = { ...thisProcess(), directory: directoryStamp(dirname(this.#path)) };
    try {
      writeFileSync(this.#path, JSON.stringify(own), { flag: "wx", mode: 0o600 });
    } catch (error) {
      const { code = "" } = error as { code?: string };
      // On a full disk the file is empty or absent, and a server must still be stopped.
      if (["ENOSPC", "EDQUOT"].includes(code)) return true;
      if (code !== "EEXIST") throw error;
      if (this.#isAbandoned(own.directory)) rmSync(this.#path, { force: true });
      return false;
    }
    this.#refresh = setInterval(() => this.#touch(), touchEvery_ms);
    this.#refresh.unref();
    return true;
  }

  release(): void {
    clearInterval(this.#refresh);
    rmSync(this.#path, { force: true });
  }

  /** Who holds it, for errors. */
  owner(): string {
    const owner = this.#read();
    if (owner === undefined) return "another process";
    return `process ${owner.pid}${isOfThisSpace(owner) ? "" : " of another machine or container"}`;
  }

  #isAbandoned(directory: string): boolean {
    const owner = this.#read();
    // An empty file is one that is just being written, unless it stays so.
    if (owner === undefined) return this.#isSilent();
    if (owner.directory !== directory) return true;
    return isOfThisSpace(owner) ? !isRunning(owner) : this.#isSilent();
  }

  /** Whether the file was not touched for a while. Its times are compared with each other: the clock of another machine may differ. */
  #isSilent(): boolean {
    const modified_ms = statSync(this.#path, { throwIfNoEntry: false })?.mtimeMs;
    const now = performance.now();
    if (modified_ms === undefined || modified_ms !== this.#seen?.modified_ms) {
      this.#seen = modified_ms === undefined ? undefined : { modified_ms, at_ms: now };
      return false;
    }
    return now - this.#seen.at_ms > silent_ms;
  }

  /** Undefined for a file that is absent, empty, or of an earlier version, which wrote a number alone. */
  #read(): Owner | undefined {
    try {
      const owner = JSON.parse(readFileSync(this.#path, "utf8")) as Owner | number;
      return typeof owner === "object" && typeof owner.directory === "string" ? owner : undefined;
    } catch {
      // Gone meanwhile, or half written.
      return undefined;
    }
  }

  #touch(): void {
    try {
      utimesSync(this.#path, new Date(), new Date());
    } catch {
      // The file or its disk is missing, so it blocks no process.
    }
  }
}
