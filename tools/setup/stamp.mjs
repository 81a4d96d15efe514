/**
 * Stamps show which steps need not run again: `node_modules/.lapidary/STEP.json` contains the key of the inputs with which
 * the step last finished. Deleting node_modules also deletes all stamps, as intended.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/**
 * @param {string} root
 * @param {string} step
 */
export function stampPath(root, step) {
  return join(root, "node_modules/.lapidary", `${step}.json`);
}

/**
 * @param {string} root
 * @param {string} step
 * @returns {Record<string, unknown> | undefined}
 */
export function readStamp(root, step) {
  const path = stampPath(root, step);
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    // If a stamp does not parse, the step runs again.
    return undefined;
  }
}

/**
 * @param {string} root
 * @param {string} step
 * @param {Record<string, unknown>} value
 */
export function writeStamp(root, step, value) {
  const path = stampPath(root, step);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.tmp`, `${JSON.stringify(value)}\n`);
  renameSync(`${path}.tmp`, path);
}

/**
 * @param {string} root
 * @param {string} step
 */
export function removeStamp(root, step) {
  rmSync(stampPath(root, step), { force: true });
}

/**
 * A key of the paths below `root` and the contents of small files, equal for equal files of two roots. An absent file also changes the key.
 * @param {string} root
 * @param {readonly string[]} files
 */
export function contentKey(root, files) {
  const hash = createHash("sha256");
  for (const file of files)
    hash
      .update(`${relative(root, file)}\0`)
      .update(existsSync(file) ? readFileSync(file) : "absent")
      .update("\0");
  return hash.digest("hex");
}

/**
 * A key of path, size and modification time of every file below `directories`.
 * @param {readonly string[]} directories files or directories; absent ones count as empty
 * @param {(name: string) => boolean} [wanted]
 */
export function changeKey(directories, wanted = () => true) {
  const hash = createHash("sha256");
  for (const path of filesBelow(directories)) {
    if (!wanted(path)) continue;
    const { size, mtimeMs } = statSync(path);
    hash.update(`${path}\0${size}\0${mtimeMs}\0`);
  }
  return hash.digest("hex");
}

/**
 * All files at or below the given paths, sorted, without node_modules and dist.
 * @param {readonly string[]} paths
 * @returns {string[]}
 */
export function filesBelow(paths) {
  /** @type {string[]} */
  const files = [];
  /** @param {string} path */
  const visit = (path) => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.name === "node_modules" || entry.name === "dist") continue;
      if (entry.isDirectory()) visit(join(path, entry.name));
      else if (entry.isFile()) files.push(join(path, entry.name));
    }
  };
  for (const path of paths) {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) visit(path);
    else if (found?.isFile()) files.push(path);
  }
  return files.sort();
}
