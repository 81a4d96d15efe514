#!/usr/bin/env node
/**
 * Python packages that only a test or a benchmark needs. `node tools/cached-python.mjs NAME` prints the interpreter of an environment with the packages of
 * `tools/packages/NAME/requirements.txt`. If it is missing, pip first installs them, in the cache that all clones share.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { publish } from "./setup/cache.mjs";
import { underSession } from "./setup/main.mjs";
import { findPython, pythonRemedy } from "./setup/python.mjs";
import { Session, SetupError } from "./setup/session.mjs";

/** @param {Session} session @param {string} name */
const requirementsOf = (session, name) => join(session.root, "tools/packages", name, "requirements.txt");

/** @param {Session} session @param {string} name */
function directoryOf(session, name) {
  const digest = createHash("sha256")
    .update(readFileSync(requirementsOf(session, name)))
    .digest("hex")
    .slice(0, 16);
  return join(session.cache, `python-${name}-${digest}`);
}

/**
 * @param {Session} session
 * @param {string} name a directory in `tools/packages`
 * @returns {string | undefined} the interpreter, if its environment is installed
 */
export function findCachedPython(session, name) {
  const interpreter = join(directoryOf(session, name), "bin/python");
  return existsSync(interpreter) ? interpreter : undefined;
}

/**
 * @param {Session} session
 * @param {string} name a directory in `tools/packages`
 * @returns {Promise<string>} the interpreter
 */
export async function provideCachedPython(session, name) {
  const requirements = requirementsOf(session, name);
  const directory = directoryOf(session, name);
  const interpreter = findCachedPython(session, name);
  if (interpreter !== undefined) return interpreter;
  session.report.say(`installs the packages of tools/packages/${name} in the cache`);
  const found = await findPython(session);
  if ("problem" in found) throw new SetupError({ code: "LAP_SETUP_PYTHON", message: found.problem, remedy: pythonRemedy });
  await publish(session, directory, async (temporary) => {
    // An environment can be moved: its interpreter finds it by its own path.
    const commands = [
      [found.python, "-m", "venv", temporary],
      [join(temporary, "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements],
    ];
    for (const [program = "", ...args] of commands) {
      const ended = await session.run(program, args, { env: found.env });
      if (ended.code === 0) continue;
      const remedy = "see what pip says, and run the command again";
      throw new SetupError({ code: "LAP_SETUP_PYTHON", message: `${name} cannot be installed`, output: ended.tail, remedy });
    }
  });
  return join(directory, "bin/python");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const session = new Session();
  const ok = await underSession(session, async () => {
    process.stdout.write(`${await provideCachedPython(session, process.argv[2] ?? "")}\n`);
  });
  if (!ok) process.exitCode = 1;
}
