/** The error for a full disk, whichever program noticed it. It has the path, the free bytes and the needed bytes. */
import { existsSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { SetupError } from "./session.mjs";

/** Peak of the disk space of a set-up: pip stores a wheel twice while it unpacks the wheel. */
export const setupNeeds_bytes = 2e9;

/**
 * Whether the output of a tool, or an error of the system, reports a full disk or an exhausted quota.
 * @param {string} text
 */
export function reportsFullDisk(text) {
  return /no space left on device|disk quota exceeded|\bENOSPC\b|\bEDQUOT\b|\[Errno (28|122)\]/i.test(text);
}

/**
 * @param {{ path: string, needs_bytes?: number, output?: string }} what `path`: where was written
 * @returns {SetupError} LAP_SETUP_DISK
 */
export function fullDisk({ path, needs_bytes = setupNeeds_bytes, output = "" }) {
  const place = nearestExisting(path);
  return new SetupError({
    code: "LAP_SETUP_DISK",
    message: `no space is left at ${path}: ${megabytes(freeBytes(place))} are free, about ${megabytes(needs_bytes)} are needed`,
    output,
    remedy: `free ${megabytes(needs_bytes)} there (or raise your quota), or point LAPIDARY_CACHE to a directory on a larger disk; then run the command again: it continues from what is complete`,
  });
}

/** Bytes that this user may still write. @param {string} path must exist */
export function freeBytes(path) {
  const { bavail, bsize } = statfsSync(path);
  return Number(bavail) * Number(bsize);
}

/** The path itself, or the nearest directory above it that exists. @param {string} path */
export function nearestExisting(path) {
  let place = path;
  while (!existsSync(place)) place = dirname(place);
  return place;
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}
