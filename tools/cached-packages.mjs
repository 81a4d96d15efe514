#!/usr/bin/env node
/**
 * npm packages that only one command or test needs. `node tools/cached-packages.mjs NAME` prints the directory whose `node_modules` has the packages of
 * `tools/packages/NAME`. If it is missing, npm first installs them there, as the lock file pins them. The directory is in the cache that all clones
 * share, so that `npm start` does not wait for it and the texts of the default corpus do not depend on it.
 */
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { publish } from "./setup/cache.mjs";
import { underSession } from "./setup/main.mjs";
import { Session, SetupError } from "./setup/session.mjs";

/**
 * @param {Session} session
 * @param {string} name a directory in `tools/packages`
 * @returns {Promise<string>} a directory with `node_modules`
 */
export async function provideCachedPackages(session, name) {
  const source = join(session.root, "tools/packages", name);
  if (!existsSync(source)) {
    const known = readdirSync(join(session.root, "tools/packages")).join(", ");
    throw new SetupError({ code: "LAP_TOOL_USAGE", message: `tools/packages has no ${name}`, remedy: `use one of: ${known}` });
  }
  const lock = readFileSync(join(source, "package-lock.json"));
  const directory = join(session.cache, `packages-${name}-${createHash("sha256").update(lock).digest("hex").slice(0, 16)}`);
  if (existsSync(directory)) return directory;
  session.report.say(`installs the packages of tools/packages/${name} in the cache`);
  await publish(session, directory, async (temporary) => {
    mkdirSync(temporary, { recursive: true });
    for (const file of ["package.json", "package-lock.json"]) copyFileSync(join(source, file), join(temporary, file));
    const installed = await session.run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: temporary });
    if (installed.code === 0) return;
    const remedy = "see what npm says, and run the command again";
    throw new SetupError({ code: "LAP_SETUP_NPM", message: `${name} cannot be installed`, output: installed.tail, remedy });
  });
  return directory;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const session = new Session();
  const ok = await underSession(session, async () => {
    process.stdout.write(`${await provideCachedPackages(session, process.argv[2] ?? "")}\n`);
  });
  if (!ok) process.exitCode = 1;
}
