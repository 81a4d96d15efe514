#!/usr/bin/env node
/**
 * A Python environment of its own with the pinned JAX, for tests and judges that ask XLA: `node tools/xla/venv.mjs` prints the path of its
 * interpreter, and makes it first where it is missing or damaged. Wheels come from the index that the user's pip is configured for.
 *
 *     cache/jax-VERSION.wheels/    wheels as they come: an interrupted download goes on from here
 *     cache/jax-VERSION/           the environment, whole or absent
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { publish } from "../setup/cache.mjs";
import { withLock } from "../setup/lock.mjs";
import { underSession } from "../setup/main.mjs";
import { Session, SetupError } from "../setup/session.mjs";
import { megabytes } from "../setup/wheel.mjs";

const label = "jax";
const attempts = 3;
/** What JAX asks for. */
const oldestMinor = 11;

/**
 * The versions that the export is written for, from where the export says so.
 * @param {string} root
 */
export function pinnedVersions(root) {
  const source = readFileSync(join(root, "packages/interop/src/xla/export.ts"), "utf8");
  const read = (/** @type {string} */ name) => new RegExp(`export const ${name} = "([\\d.]+)"`).exec(source)?.[1] ?? "";
  return { jax: read("jaxVersion"), jaxlib: read("jaxVersion"), "orbax-checkpoint": read("orbaxVersion") };
}

/**
 * @param {Session} session
 * @returns {Promise<string>} the interpreter
 */
export async function provideJax(session) {
  const wanted = pinnedVersions(session.root);
  const directory = join(session.cache, `jax-${wanted.jax}`);
  const python = join(directory, "bin/python");
  if (!(await isWhole(session, python, wanted))) {
    await withLock(session, `${directory}.lock`, async () => {
      // Another clone may have made it while we waited.
      if (!(await isWhole(session, python, wanted))) await make(session, directory, wanted);
    });
  }
  return python;
}

/** Whether an environment holds what is wanted. @param {Session} session @param {string} python @param {Record<string, string>} wanted */
async function isWhole(session, python, wanted) {
  if (!existsSync(python)) return false;
  const script = "import sys; from importlib.metadata import version; print(*[version(name) for name in sys.argv[1:]])";
  const found = await session.run(python, ["-c", script, ...Object.keys(wanted)]);
  return found.code === 0 && found.stdout.trim() === Object.values(wanted).join(" ");
}

/** @param {Session} session @param {string} directory @param {Record<string, string>} wanted */
async function make(session, directory, wanted) {
  const python = await findPython(session);
  const requirements = Object.entries(wanted).map(([name, version]) => `${name}==${version}`);
  const wheels = `${directory}.wheels`;
  mkdirSync(wheels, { recursive: true });
  await pip(session, {
    python,
    doing: `downloading ${requirements[0]} by pip`,
    args: ["download", "--only-binary=:all:", "--dest", wheels, "--find-links", wheels, ...requirements],
    watched: wheels,
  });
  await publish(session, directory, async (temporary) => {
    const made = await session.run(python, ["-m", "venv", "--without-pip", temporary]);
    if (made.code !== 0) throw new SetupError({ code: "LAP_XLA_VENV", message: "python -m venv failed", output: made.tail, remedy: "install the venv module of your Python (Debian: python3-venv)" });
    await pip(session, {
      python,
      doing: "installing",
      args: ["--python", join(temporary, "bin/python"), "install", "--no-index", "--find-links", wheels, "--no-warn-script-location", ...requirements],
      watched: temporary,
    });
    writeFileSync(join(temporary, "lapidary.json"), `${JSON.stringify(wanted)}\n`);
  });
  if (!(await isWhole(session, join(directory, "bin/python"), wanted))) {
    throw new SetupError({ code: "LAP_XLA_VENV", message: `${directory} does not hold what was installed`, remedy: `remove ${directory} and run the command again` });
  }
  rmSync(wheels, { recursive: true, force: true });
}

/** A Python that JAX runs on, with pip and venv. @param {Session} session @returns {Promise<string>} */
async function findPython(session) {
  const names = session.env.LAPIDARY_PYTHON ? [session.env.LAPIDARY_PYTHON] : ["python3", "python", "python3.14", "python3.13", "python3.12", "python3.11"];
  for (const python of names) {
    const found = await session.run(python, ["-c", "import sys, pip, venv; print(*sys.version_info[:2])"]);
    const [major, minor] = found.stdout.trim().split(" ").map(Number);
    if (found.code === 0 && major === 3 && (minor ?? 0) >= oldestMinor) return python;
  }
  throw new SetupError({
    code: "LAP_XLA_PYTHON",
    message: `no Python of version 3.${oldestMinor} or later with pip and venv is found`,
    remedy: `install Python 3.${oldestMinor} or later with pip and venv, or point LAPIDARY_PYTHON to one`,
  });
}

/**
 * @param {Session} session
 * @param {{ python: string, doing: string, args: readonly string[], watched: string }} what `watched`: the directory whose growth is shown
 */
async function pip(session, { python, doing, args, watched }) {
  let tail = "";
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const task = session.report.begin(label, attempt === 1 ? doing : `${doing} (attempt ${attempt} of ${attempts})`);
    const watch = setInterval(() => task.update(megabytes(bytesUnder(watched))), 500);
    const result = await session.run(python, ["-m", "pip", "--disable-pip-version-check", "--no-input", ...args, "--progress-bar=off"]);
    clearInterval(watch);
    task.end(result.code === 0 ? `${doing}: ${megabytes(bytesUnder(watched))}` : `${doing}: failed`);
    if (result.code === 0) return;
    tail = result.tail;
  }
  throw new SetupError({
    code: "LAP_XLA_PIP",
    message: "pip could not provide JAX",
    output: tail,
    remedy: "check that `pip download jax` works (network, proxy, index of your pip; pip 22.3 or later), then run the command again: it goes on from what it has",
  });
}

/** @param {string} directory */
function bytesUnder(directory) {
  if (!existsSync(directory)) return 0;
  let bytes = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    // Files come and go while pip works.
    if (entry.isFile()) bytes += statSync(join(entry.parentPath ?? entry.path, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const session = new Session();
  const ok = await underSession(session, async () => {
    process.stdout.write(`${await provideJax(session)}\n`);
  });
  process.exitCode = ok ? 0 : 1;
}
