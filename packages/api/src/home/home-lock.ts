import { existsSync, linkSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { directoryStamp } from "@lapidary/std";
import { alreadyUp, usedElsewhere } from "./home-errors.js";
import { isOfThisSpace, isRunning, type ProcessId, thisProcess } from "@lapidary/std/process-id";

/** The pid file of the process that serves a state directory, from its start to its end. */
const pidPath = (home: string): string => join(home, "coordinator.pid");

interface Owner extends ProcessId {
  /** The state directory that it serves. Absent in files of earlier versions. */
  readonly home?: string;
}

/** The owner touches its file at this interval. Another machine or container cannot check whether the process runs. */
const touchEvery_ms = 1000;
/** After this time without a touch, the owner counts as gone. */
const silent_ms = 5 * touchEvery_ms;

/**
 * Locks the state directory for this process; the returned function unlocks it. The file of an ended process does not count. If the file names a process
 * of this boot and this container, the process is checked. Otherwise the file is watched for some seconds.
 *
 * @throws LAP_ALREADY_UP
 */
export async function lockHome(home: string): Promise<() => void> {
  const path = pidPath(home);
  const own = JSON.stringify({ ...thisProcess(), home: directoryStamp(home) } satisfies Owner);
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, own, { mode: 0o600 });
  try {
    for (;;) {
      try {
        // A link is created completely or not at all, and never replaces a file.
        linkSync(draft, path);
        break;
      } catch (error) {
        if ((error as { code?: string }).code !== "EEXIST") throw error;
      }
      const owner = readOwner(path);
      if (owner !== undefined && isRunning(owner)) throw alreadyUp(home, `process ${owner.pid}`);
      if (owner !== undefined && !isOfThisSpace(owner) && (await isTouched(path))) throw foreignOwner(home, owner);
      rmSync(path, { force: true });
    }
  } finally {
    rmSync(draft, { force: true });
  }
  const touching = setInterval(() => touch(path), touchEvery_ms);
  touching.unref();
  return () => {
    clearInterval(touching);
    if (existsSync(path) && readFileSync(path, "utf8") === own) rmSync(path, { force: true });
  };
}

function touch(path: string): void {
  try {
    utimesSync(path, new Date(), new Date());
  } catch {
    // Without the file or its disk, there is nothing to lock.
  }
}

/** Whether a process touches the file. Two times of the file are compared, because the clock of another machine may differ. */
async function isTouched(path: string): Promise<boolean> {
  const timeOf = (): number | undefined => statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  const before = timeOf();
  await delay(silent_ms);
  return before !== undefined && timeOf() !== undefined && timeOf() !== before;
}

/** The process that serves a state directory, if it runs. */
export function homeOwner(home: string): number | undefined {
  const owner = existsSync(pidPath(home)) ? readOwner(pidPath(home)) : undefined;
  return owner !== undefined && isRunning(owner) ? owner.pid : undefined;
}

/**
 * Throws if a process of another machine or container serves a state directory, because this process can neither reach nor stop it. Takes some
 * seconds if such a file exists.
 *
 * @throws LAP_ALREADY_UP
 */
export async function refuseForeignOwner(home: string): Promise<void> {
  const owner = existsSync(pidPath(home)) ? readOwner(pidPath(home)) : undefined;
  if (owner !== undefined && !isOfThisSpace(owner) && (await isTouched(pidPath(home)))) throw foreignOwner(home, owner);
}

const foreignOwner = (home: string, { pid }: Owner): Error => usedElsewhere(home, `process ${pid} of another machine or container uses it`);

/** Undefined in a copy of a state directory: the process serves the original. */
function readOwner(path: string): Owner | undefined {
  try {
    const owner = JSON.parse(readFileSync(path, "utf8")) as Owner;
    return owner.home === undefined || owner.home === directoryStamp(dirname(path)) ? owner : undefined;
  } catch {
    // A missing or damaged file.
    return undefined;
  }
}
