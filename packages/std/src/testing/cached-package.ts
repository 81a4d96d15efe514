import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

const tool = fileURLToPath(new URL("../../../../tools/cached-packages.mjs", import.meta.url));

/**
 * The exports of an npm package that only tests need, from the packages of `tools/packages/NAME`. The first use on a machine
 * installs them in the cache.
 */
export async function importCached(name: string, module: string): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [tool, name]);
  const directory = stdout.trim().split("\n").at(-1) ?? "";
  return import(pathToFileURL(createRequire(`${directory}/package.json`).resolve(module)).href);
}
