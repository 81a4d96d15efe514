/**
 * Finds the user's Python. A script prints its result on a marked line, so that other output of a wrapper, a banner or a `sitecustomize` is
 * ignored. Variables that change how Python starts are removed first, and kept only if Python finds pip through them alone.
 */
import { programsByName } from "./programs.mjs";

/** unpack_wheel.py is written for it. */
const oldestMinor = 8;
/** An environment without pip, such as one of `uv venv`, may come before a Python with pip, so every Python on the PATH is tried. */
const names = ["python3", "python", ...[14, 13, 12, 11, 10, 9, 8].map((minor) => `python3.${minor}`)];
const answerWithin_ms = 60_000;
const mark = "lapidary-python";
const question = `import sys; print("\\n${mark}", "%d.%d.%d" % sys.version_info[:3], flush=True); import pip; print("\\n${mark}-pip", pip.__version__)`;

/** Variables that change how Python starts, but not how pip reaches an index. */
const startSettings = [
  "PYTHONBREAKPOINT",
  "PYTHONDEBUG",
  "PYTHONDUMPREFS",
  "PYTHONEXECUTABLE",
  "PYTHONHOME",
  "PYTHONINSPECT",
  "PYTHONMALLOCSTATS",
  "PYTHONOPTIMIZE",
  "PYTHONPATH",
  "PYTHONPLATLIBDIR",
  "PYTHONPROFILEIMPORTTIME",
  "PYTHONSTARTUP",
  "PYTHONVERBOSE",
  "PYTHONWARNINGS",
];

/** @typedef {{ readonly python: string, readonly version: string, readonly pip: string, readonly env: NodeJS.ProcessEnv }} Python `env`: its environment */

/**
 * The environment without the settings that change how Python starts. Output is UTF-8 whatever the locale.
 * @param {NodeJS.ProcessEnv} env
 * @returns {NodeJS.ProcessEnv}
 */
export function pythonEnvironment(env) {
  return { ...Object.fromEntries(Object.entries(env).filter(([name]) => !startSettings.includes(name))), PYTHONIOENCODING: "utf-8" };
}

/**
 * A Python 3 with pip, or the reason why none was found.
 * @param {import("./session.mjs").Session} session
 * @returns {Promise<Python | { readonly problem: string }>}
 */
export async function findPython(session) {
  const { LAPIDARY_PYTHON: chosen } = session.env;
  const candidates = chosen ? [chosen] : programsByName(session.env, names);
  /** @type {string[]} */
  const problems = [];
  for (const python of candidates) {
    const found = await ask(session, python, pythonEnvironment(session.env));
    if (!("problem" in found)) return found;
    // A module system may name the directory of pip in PYTHONPATH.
    const asIs = session.env.PYTHONPATH && found.isOther ? await ask(session, python, session.env) : found;
    if (!("problem" in asIs)) return asIs;
    problems.push(`${python}: ${found.problem}`);
  }
  return { problem: `no Python 3.${oldestMinor} or later with pip is found${problems.length === 0 ? "" : ` (${problems.join("; ")})`}` };
}

export const pythonRemedy =
  "install Python 3 and its pip (Debian, Ubuntu: `apt install python3 python3-pip`; Fedora: `dnf install python3-pip`; macOS: `brew install python`), or point LAPIDARY_PYTHON to a Python that has pip";

/**
 * @param {import("./session.mjs").Session} session
 * @param {string} python
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Python | { readonly problem: string, readonly isOther: boolean }>} `isOther`: it runs, and another environment may help
 */
async function ask(session, python, env) {
  const found = await session.run(python, ["-c", question], { env, timeout_ms: answerWithin_ms });
  const version = answer(found.stdout, mark);
  const pip = answer(found.stdout, `${mark}-pip`);
  if (version === undefined) return { problem: lastLine(found.tail) || `exit code ${found.code}`, isOther: true };
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major !== 3 || minor < oldestMinor) return { problem: `Python ${version}`, isOther: false };
  if (pip === undefined) return { problem: `Python ${version} without pip`, isOther: true };
  return { python, version, pip, env };
}

/**
 * The text after a mark at the beginning of a line.
 * @param {string} stdout
 * @param {string} word
 */
export function answer(stdout, word) {
  return new RegExp(`^${word} (.*?)\\r?$`, "m").exec(stdout)?.[1];
}

/** @param {string} text */
const lastLine = (text) => (text.trim().split("\n").at(-1) ?? "").trim().slice(0, 200);
