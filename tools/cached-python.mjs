#!/usr/bin/env node
/**
 * Python packages that only a test needs. `node tools/cached-python.mjs NAME` prints the interpreter of an environment with the packages of
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

/**
 * @param {Session} session
 * @param {string} name a directory in `tools/packages`
 * @returns {Promise<string>} the interpreter
 */
export async function provideCachedPython(session, name) {
  const requirements = join(session.root, "tools/packages", name, "requirements.txt");
  const digest = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 16);
  const directory = join(session.cache, `python-${name}-${digest}`);
  const interpreter = join(directory, "bin/python");
  if (existsSync(interpreter)) return interpreter;
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
  return interpreter;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const session = new Session();
  const ok = await underSession(session, async () => {
    process.stdout.write(`${await provideCachedPython(session, process.argv[2] ?? "")}\n`);
  });
  if (!ok) process.exitCode = 1;
}
