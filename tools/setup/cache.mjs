/**
 * Directories that are either complete or absent. The set-up fills a directory under a temporary name, writes a manifest
 * of its files, and renames it. If a set-up is interrupted, the next set-up removes the temporary directory.
 *
 *     cache/libtensorflow-…/            complete
 *         manifest.json                 { files: { path: { size, sha256 } } }
 *     cache/libtensorflow-….tmp-4711/   being filled by process 4711
 */
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";

const manifestName = "manifest.json";

/** @typedef {{ readonly files: Readonly<Record<string, { readonly size: number, readonly sha256: string }>> }} Manifest */

/**
 * Removes `….tmp-PID` entries in the directory of `path` if their process has exited.
 * @param {string} path
 */
export function sweep(path) {
  const parent = dirname(path);
  if (!existsSync(parent)) return;
  for (const entry of readdirSync(parent)) {
    const pid = /\.tmp-(\d+)$/.exec(entry)?.[1];
    if (pid !== undefined && entry.startsWith(`${basename(path)}.tmp-`) && !isAlive(Number(pid))) {
      rmSync(join(parent, entry), { recursive: true, force: true });
    }
  }
}

/** @param {number} pid */
export function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/**
 * Fills a directory or file under a temporary name and renames it to `path`, replacing what was there.
 * @param {import("./session.mjs").Session} session
 * @param {string} path
 * @param {(temporary: string) => Promise<void> | void} fill
 */
export async function publish(session, path, fill) {
  sweep(path);
  const temporary = `${path}.tmp-${process.pid}`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  session.unfinished.add(temporary);
  try {
    await fill(temporary);
    rmSync(path, { recursive: true, force: true });
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
    session.unfinished.delete(temporary);
  }
}

/**
 * @param {string} directory
 * @param {Manifest["files"]} files
 */
export function writeManifest(directory, files) {
  writeFileSync(join(directory, manifestName), `${JSON.stringify({ files }, null, 1)}\n`);
}

/**
 * @param {string} directory
 * @returns {Manifest | undefined}
 */
export function readManifest(directory) {
  const path = join(directory, manifestName);
  if (!existsSync(path)) return undefined;
  try {
    const value = JSON.parse(readFileSync(path, "utf8"));
    return typeof value?.files === "object" ? value : undefined;
  } catch {
    // A manifest that does not parse is treated as absent.
    return undefined;
  }
}

/**
 * The first file that differs from the manifest (or the manifest, if it is absent); undefined if all files match. Compares
 * sizes, and with `deep` also contents.
 * @param {string} directory
 * @param {{ deep?: boolean }} [options]
 * @returns {Promise<string | undefined>}
 */
export async function firstDamage(directory, { deep = false } = {}) {
  const manifest = readManifest(directory);
  if (manifest === undefined) return manifestName;
  for (const [path, { size, sha256 }] of Object.entries(manifest.files)) {
    const file = join(directory, path);
    const found = statSync(file, { throwIfNoEntry: false });
    if (found === undefined || found.size !== size) return path;
    if (deep && (await sha256Of(file)) !== sha256) return path;
  }
  return undefined;
}

/**
 * @param {string} file
 * @returns {Promise<string>} hex
 */
export async function sha256Of(file) {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}
