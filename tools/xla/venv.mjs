#!/usr/bin/env node
/**
 * A separate Python environment with the pinned JAX, for tests and for the reference backends. `node tools/xla/venv.mjs` prints the path of its
 * interpreter. If the environment is missing or damaged, the command first creates it with `environment.py`, which every export contains too.
 *
 *     --tpu         an environment that also contains Google's TPU compiler (libtpu)
 *     --flax        an environment with JAX, Flax and optax, which the programs of configs/jax need
 *     --only-look   does not install; exits with 102 if the environment is missing
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { underSession } from "../setup/main.mjs";
import { programsByName } from "../setup/programs.mjs";
import { answer, pythonEnvironment } from "../setup/python.mjs";
import { Session, SetupError } from "../setup/session.mjs";

/** The oldest minor version of Python 3 that JAX supports. */
const oldestMinor = 11;
/** Exit code of `environment.py --only-look`. */
const notFound = 102;
/** Marks the line with the result, because Python may print other lines. */
const mark = "lapidary-python";

/**
 * The versions that the export needs, read from the source of the export.
 * @param {string} root
 */
export function pinnedRequirements(root) {
  const source = readFileSync(join(root, "packages/interop/src/xla/export.ts"), "utf8");
  const read = (/** @type {string} */ name) => new RegExp(`export const ${name} = "([\\d.]+)"`).exec(source)?.[1] ?? "";
  return [`jax==${read("jaxVersion")}`, `jaxlib==${read("jaxVersion")}`, `orbax-checkpoint==${read("orbaxVersion")}`];
}

/** The versions including the TPU compiler. @param {string} root */
export function tpuRequirements(root) {
  const source = readFileSync(join(root, "packages/interop/src/xla/tpu.ts"), "utf8");
  const version = /export const libtpuVersion = "([\d.]+)"/.exec(source)?.[1] ?? "";
  return [...pinnedRequirements(root).filter((requirement) => requirement.startsWith("jax")), `libtpu==${version}`];
}

/** The versions of JAX with Flax and optax: those that made e2e/golden/stablehlo. @param {string} root */
export const flaxRequirements = (root) => [
  ...pinnedRequirements(root).filter((requirement) => requirement.startsWith("jax")),
  "flax==0.12.8",
  "optax==0.2.8",
];

/** A Python with pip and venv that JAX supports. @param {Session} session @returns {Promise<string>} */
async function findPython(session) {
  const names = session.env.LAPIDARY_PYTHON
    ? [session.env.LAPIDARY_PYTHON]
    : programsByName(session.env, ["python3", "python", "python3.14", "python3.13", "python3.12", "python3.11"]);
  for (const python of names) {
    const script = `import sys, pip, venv; print("\\n${mark}", *sys.version_info[:2])`;
    const found = await session.run(python, ["-c", script], { env: pythonEnvironment(session.env) });
    const [major, minor] = (answer(found.stdout, mark) ?? "").split(" ").map(Number);
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
 * @param {readonly string[]} requirements
 * @param {{ onlyLook?: boolean }} options
 * @returns {Promise<string | undefined>} the interpreter; undefined where it is missing and is only looked for
 */
export async function provideEnvironment(session, requirements, { onlyLook = false } = {}) {
  const python = await findPython(session);
  const script = join(session.root, "packages/interop/assets/xla/lapidary_xla/environment.py");
  const prefix = "lapidary: ";
  const made = await session.run(python, [script, ...(onlyLook ? ["--only-look"] : []), ...requirements], {
    env: { ...pythonEnvironment(session.env), LAPIDARY_CACHE: session.cache },
    onLine: (line) => {
      if (line.startsWith(prefix) && !line.startsWith(`${prefix}error `)) session.report.say(line.slice(prefix.length));
    },
  });
  if (made.code === 0) return made.stdout.trim().split("\n").at(-1) ?? "";
  if (onlyLook && made.code === notFound) return undefined;
  // The error of environment.py, with its cause and remedy.
  const own = /lapidary: error (LAP_\w+): ([\s\S]*?)\n {4}place: .*\n {4}remedy: (.*)/.exec(made.tail);
  if (own !== null) throw new SetupError({ code: own[1] ?? "", message: own[2] ?? "", remedy: own[3] ?? "" });
  throw new SetupError({
    code: "LAP_XLA_VENV",
    message: "the environment with JAX could not be made",
    output: made.tail,
    remedy: "see to what pip says and run the command again: it goes on from what it has",
  });
}

/** @param {Session} session */
export const provideJax = async (session) => (await provideEnvironment(session, pinnedRequirements(session.root))) ?? "";

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const session = new Session();
  const flags = process.argv.slice(2);
  const requirements = flags.includes("--tpu")
    ? tpuRequirements(session.root)
    : flags.includes("--flax")
      ? flaxRequirements(session.root)
      : pinnedRequirements(session.root);
  const ok = await underSession(session, async () => {
    const python = await provideEnvironment(session, requirements, { onlyLook: flags.includes("--only-look") });
    if (python === undefined) process.exitCode = notFound;
    else process.stdout.write(`${python}\n`);
  });
  if (!ok) process.exitCode = 1;
}
