/** Module hooks that apply one mistake of `bugs.mjs` when its file is loaded. */
import { readFileSync } from "node:fs";

/** @type {import("./bugs.mjs").Bug | undefined} */
let planted;

/** @param {import("./bugs.mjs").Bug} bug */
export function initialize(bug) {
  planted = bug;
}

/** @type {import("node:module").LoadHook} */
export async function load(url, context, nextLoad) {
  if (planted === undefined || !url.endsWith(`/packages/${planted.file}`)) return nextLoad(url, context);
  return { format: "module", shortCircuit: true, source: withBug(readFileSync(new URL(url), "utf8"), planted) };
}

/**
 * The text of a file with a mistake.
 * @param {string} source
 * @param {import("./bugs.mjs").Bug} bug
 */
export function withBug(source, { name, file, find, replace }) {
  const parts = source.split(find);
  if (parts.length !== 2)
    throw new Error(`tools/sim-faults/bugs.mjs, "${name}": the text to replace occurs ${parts.length - 1} times in packages/${file}`);
  return parts.join(replace);
}
