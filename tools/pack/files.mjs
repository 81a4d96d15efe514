/** The files of a checkout that an installed Lapidary needs. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { packageNames } from "../setup/build.mjs";

const topLevel = ["package.json", "package-lock.json", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE"];
const directories = ["configs", "docs", "tools/setup", "tools/xla"];
/** Within a package. `page/dist` is the page of the dashboard, `cpp` the sources of the kernels. */
const parts = ["package.json", "README.md", "bin", "dist", "assets", "cpp", "page/dist"];

/** Tests and their snapshots, maps, and what the compiler keeps for itself. @param {string} path */
const isLeftOut = (path) =>
  /\.test\.(js|mjs|d\.ts)$|\.map$|\.tsbuildinfo$|\.generated\.h$|(^|\/)(testing|__pycache__)\/|^docs\/history\//.test(path);

/**
 * Paths relative to `root`, sorted.
 * @param {string} root
 * @returns {string[]}
 */
export function packedFiles(root) {
  const places = [...topLevel, ...directories, ...packageNames(root).flatMap((name) => parts.map((part) => `packages/${name}/${part}`))];
  return places
    .flatMap((place) => (statSync(join(root, place), { throwIfNoEntry: false })?.isDirectory() ? below(root, place) : [place]))
    .filter((path) => existsSync(join(root, path)) && !isLeftOut(path))
    .sort();
}

/** @param {string} root @param {string} directory */
const below = (root, directory) =>
  readdirSync(join(root, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
