#!/usr/bin/env node
/** Builds the page into page/dist if its inputs have changed since the last build. `--force` builds it in any case. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const directory = dirname(dirname(fileURLToPath(import.meta.url)));
const root = join(directory, "../..");
const stamp = join(directory, "page/dist/.stamp");

/** The inputs of the build: sources, settings, and the code of other packages in the page. */
const inputs = [
  "packages/dashboard/src",
  "packages/dashboard/vite.config.mjs",
  "packages/dashboard/package.json",
  "packages/std/src",
  "packages/topology/src",
  "packages/ir/src/sharding.ts",
  "packages/api/src",
  "package-lock.json",
];

/** @param {string} path @returns {string[]} */
function filesBelow(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => filesBelow(join(path, entry.name)));
}

const hash = createHash("sha256").update(process.version);
for (const file of inputs.flatMap((input) => filesBelow(join(root, input)))) {
  if (/\.test\.ts$/.test(file)) continue;
  hash.update(file).update("\0").update(readFileSync(file));
}
const key = hash.digest("hex");
const isFresh = existsSync(stamp) && existsSync(join(directory, "page/dist/index.html")) && readFileSync(stamp, "utf8") === key;
if (!isFresh || process.argv.includes("--force")) {
  const { build } = await import("vite");
  await build({ configFile: join(directory, "vite.config.mjs"), logLevel: process.argv.includes("--verbose") ? "info" : "warn" });
  writeFileSync(stamp, key);
}
