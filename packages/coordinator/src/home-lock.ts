import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { alreadyUp } from "./coordinator-errors.js";
import { isRunning, type ProcessId, thisProcess } from "./process-id.js";

/** The pid file: who serves a home directory, from its first moment to its last. */
export const pidPath = (home: string): string => join(home, "coordinator.pid");

/**
 * Takes the home directory for this process; the returned function gives it back. A file whose process is gone counts for nothing.
 *
 * @throws LAP_ALREADY_UP
 */
export function lockHome(home: string): () => void {
  const path = pidPath(home);
  const own = JSON.stringify(thisProcess());
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
      if (owner !== undefined && isRunning(owner)) throw alreadyUp(home, `process ${owner.pid}`);
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
  return owner !== undefined && isRunning(owner) ? owner.pid : undefined;
}

function readOwner(path: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ProcessId;
  } catch {
    // Gone meanwhile, or nothing that we wrote.
    return undefined;
  }
}
