/**
 * The two forms of the project. A checkout has sources, and the set-up compiles them. An installed package was compiled when it was
 * packed (tools/pack); its file `installed.json` marks it.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

/** @param {string} root */
export const installedMark = (root) => join(root, "installed.json");

/** @param {string} root */
export const isInstalled = (root) => existsSync(installedMark(root));
