import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { alreadyUp } from "./coordinator-errors.js";

/** The pid file: who serves a home directory, from its first moment to its last. */
export const pidPath = (home: string): string => join(home, "coordinator.pid");

/**
 * Takes the home directory for this process; the returned function gives it back. A file whose process is gone counts for nothing.
 *
 * @throws LAP_ALREADY_UP
 */
export function lockHome(home: string): () => void {
  const path = pidPath(home);
  const own = JSON.stringify({ pid: process.pid, started: startOf(process.pid) });
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, own, { mode: 0o600 });
  try {
    for (;;) {
      try {
        // A link appears whole or not at all, and never over another.
        linkSync(draft, path);
        break;
      } catch (error) {
        if ((error as { code?: string }).code !== "EEXIST") throw error;
      }
      const owner = readOwner(path);
      if (owner !== undefined && isProcessAlive(owner.pid) && owner.started === startOf(owner.pid))
        throw alreadyUp(home, `process ${owner.pid}`);
      rmSync(path, { force: true });
    }
  } finally {
    rmSync(draft, { force: true });
  }
  return () => {
    if (existsSync(path) && readFileSync(path, "utf8") === own) rmSync(path, { force: true });
  };
}

/** The process that serves a home directory, if it lives. */
export function homeOwner(home: string): number | undefined {
  const owner = existsSync(pidPath(home)) ? readOwner(pidPath(home)) : undefined;
  return owner !== undefined && isProcessAlive(owner.pid) && owner.started === startOf(owner.pid) ? owner.pid : undefined;
}

function readOwner(path: string): { readonly pid: number; readonly started: string } | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as { pid: number; started: string };
  } catch {
    // Gone meanwhile, or nothing that we wrote.
    return undefined;
  }
}

/** Whether a process runs; one that ended and was not yet reaped does not. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
  return !/^[ZX]/.test(statFields(pid)[0] ?? "");
}

/** When a process began, so that a number given to another process later is no mistake; empty where the system does not tell. */
const startOf = (pid: number): string => statFields(pid)[19] ?? "";

/** From the third on: `state parent group …`. */
function statFields(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .trim()
      .split(" ");
  } catch {
    // No /proc here, or no such process.
    return [];
  }
}
