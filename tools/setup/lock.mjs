/** A lock between processes: the second process waits for the first. If the process of a lock has exited, the lock is free. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isAlive } from "./cache.mjs";

const retry_ms = 300;

/**
 * @param {import("./session.mjs").Session} session
 * @param {string} path the lock file
 * @param {() => Promise<void>} work
 */
export async function withLock(session, path, work) {
  // Closed to other users: the lock is in the state directory or in the cache.
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  let reported = false;
  while (!take(path)) {
    const owner = existsSync(path) ? Number(readFileSync(path, "utf8")) : Number.NaN;
    if (Number.isInteger(owner) && owner > 0 && !isAlive(owner)) rmSync(path, { force: true });
    else if (!reported) {
      session.report.say(`waiting for another set-up, process ${owner}; if that is none, remove ${path}`);
      reported = true;
    }
    await delay(retry_ms);
  }
  session.unfinished.add(path);
  try {
    await work();
  } finally {
    rmSync(path, { force: true });
    session.unfinished.delete(path);
  }
}

/** @param {string} path */
function take(path) {
  try {
    writeFileSync(path, String(process.pid), { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  }
}
