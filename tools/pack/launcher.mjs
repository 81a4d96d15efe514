#!/usr/bin/env node
/**
 * The `lapidary` command of the package that `npm run pack` writes. npm may install the package into a directory that only an
 * administrator can write to. The first run therefore copies the application into the user's cache and sets it up there.
 *
 *     PREFIX/lib/node_modules/lapidary/app ──copy──► cache/app-DIGEST ──set-up──► node_modules, libtensorflow, Redis, kernels
 *
 * Later runs find `ready-ABI.json` in the copy and start at once. The state directory is `.lapidary` in the working directory.
 */
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const packed = fileURLToPath(new URL("../app", import.meta.url));
/** @param {string} root @param {string} path */
const load = (root, path) => import(pathToFileURL(join(root, path)).href);

const { digest } = JSON.parse(readFileSync(join(packed, "installed.json"), "utf8"));
const { cacheDirectory } = await load(packed, "tools/setup/session.mjs");
const root = join(cacheDirectory(process.env), `app-${digest.slice(0, 16)}`);
const ready = join(root, `ready-${process.versions.modules}.json`);

if (existsSync(ready) || (await provide())) {
  process.env.LAPIDARY_HOME ||= resolve(".lapidary");
  const command = join(root, "packages/cli/bin/lapidary.mjs");
  process.argv[1] = command;
  await import(pathToFileURL(command).href);
} else {
  process.exitCode = 1;
}

/** Copies and sets up the application. @returns {Promise<boolean>} whether it is ready */
async function provide() {
  const [{ setUp, underSession }, { Session }, { publish }] = await Promise.all(
    ["main", "session", "cache"].map((name) => load(packed, `tools/setup/${name}.mjs`)),
  );
  const session = new Session({ root });
  session.report.say(`first run of this version: setting up ${root} (once for this user, about a minute)`);
  return underSession(session, async () => {
    if (!existsSync(root))
      await publish(session, root, (/** @type {string} */ temporary) => cpSync(packed, temporary, { recursive: true }));
    await setUp(session);
    writeFileSync(ready, `${JSON.stringify({ node: process.versions.node })}\n`);
  });
}
