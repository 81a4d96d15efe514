#!/usr/bin/env node
/**
 * `npm run clean`: removes build outputs (dist, out, the cache of nx), but keeps everything that takes long to restore.
 * `npm run clean -- --all` also removes node_modules, and the runs and state of the coordinator in .lapidary.
 */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { packageNames } from "./setup/build.mjs";
import { projectRoot } from "./setup/session.mjs";
import { removeStamp } from "./setup/stamp.mjs";

const all = process.argv.includes("--all");
const made = [...packageNames(projectRoot).map((name) => `packages/${name}/dist`), "e2e/dist", "out", ".nx", "coverage"];
const dear = all ? ["node_modules", ".lapidary"] : [];
for (const path of [...made, ...dear]) {
  if (!existsSync(join(projectRoot, path))) continue;
  rmSync(join(projectRoot, path), { recursive: true });
  process.stderr.write(`lapidary: removed ${path}\n`);
}
if (!all) removeStamp(projectRoot, "build");
