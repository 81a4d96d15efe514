/**
 * Downloads wheels with pip into a directory of the set-up. Index, proxy, certificates and caches are those of the user. Settings for
 * installing, or for other downloads, are ignored. A variable overrides each of these settings, because a variable also overrides
 * the same setting in pip.conf.
 */
import { readdirSync, statSync } from "node:fs";
import { devNull } from "node:os";
import { join } from "node:path";
import { fullDisk, megabytes, reportsFullDisk } from "./disk-space.mjs";
import { SetupError } from "./session.mjs";

const attempts = 3;
/** The set-up needs only C++ libraries, so it can use a wheel for another Python if there is none for this Python. */
const otherPython = ["--python-version=3.12", "--implementation=cp"];

/** Overridden variables. pip reads an empty variable as absent, so lists of requirements or constraints become an empty file. */
const overridden = {
  PIP_REQUIRE_VIRTUALENV: "0",
  PIP_REQUIRE_HASHES: "0",
  PIP_QUIET: "0",
  PIP_VERBOSE: "0",
  PIP_CONSTRAINT: devNull,
  PIP_REQUIREMENT: devNull,
};

/** Removed variables. They choose other files, another target, or another interpreter. */
const removed = [
  "ABI",
  "BREAK_SYSTEM_PACKAGES",
  "BUILD_CONSTRAINT",
  "DEST",
  "DRY_RUN",
  "EDITABLE",
  "GROUP",
  "IMPLEMENTATION",
  "LOG",
  "NO_BINARY",
  "ONLY_BINARY",
  "PLATFORM",
  "PREFIX",
  "PYTHON",
  "PYTHON_VERSION",
  "REPORT",
  "ROOT",
  "TARGET",
  "USER",
].map((name) => `PIP_${name}`);

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {NodeJS.ProcessEnv}
 */
export function pipEnvironment(env) {
  return { ...Object.fromEntries(Object.entries(env).filter(([name]) => !removed.includes(name))), ...overridden };
}

/** Failures that another attempt does not change. */
const refusals = /certificate.verify.failed|407 proxy authentication|\b(401|403) (error|client error)|http error (401|403)/i;
const networkFailures =
  /connection ?(error|reset|refused|aborted|broken)|timed? ?out|name resolution|name or service not known|network is unreachable|no route to host|max retries|proxyerror|sslerror|incompleteread|protocolerror|remotedisconnected|temporary failure|http error (429|5\d\d)|\b(429|5\d\d) (client|server) error|do not match the hashes/i;
const nothingFound = /no matching distribution|could not find a version that satisfies/i;

/**
 * Why pip failed. `missing`: the index does not have the wheel. `network`: another attempt may succeed. `disk`: the disk is full. `refused`: other reasons.
 * @param {string} output
 * @returns {"missing" | "network" | "disk" | "refused"}
 */
export function verdictOf(output) {
  if (reportsFullDisk(output)) return "disk";
  if (refusals.test(output)) return "refused";
  // pip retries on its own, and may then report that it found nothing.
  if (networkFailures.test(output)) return "network";
  return nothingFound.test(output) ? "missing" : "refused";
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {{ label: string, python: import("./python.mjs").Python, downloads: string, requirements: readonly string[], needs_bytes: number }} what
 *   `requirements`: tried in this order
 * @returns {Promise<string>} the wheel's path
 */
export async function downloadWheel(session, { label, python, downloads, requirements, needs_bytes }) {
  let output = "";
  let maxAttempts = attempts;
  for (const extra of [[], otherPython]) {
    for (const requirement of requirements) {
      const got = await downloadOne(session, { label, python, downloads, requirement, extra, maxAttempts });
      if ("wheel" in got) return got.wheel;
      output = got.output;
      if (got.verdict === "disk") throw fullDisk({ path: downloads, needs_bytes, output });
      // One of several indexes may be unreachable, and the others may have the wheel for another Python.
      if (got.verdict === "network") maxAttempts = 1;
      if (nothingFound.test(output) && got.verdict !== "refused") continue;
      throw new SetupError({
        code: "LAP_SETUP_WHEEL",
        message: `pip could not download ${requirement}${got.verdict === "network" ? `: it was asked ${attempts} times` : ": it refused"}`,
        output,
        remedy: got.verdict === "network" ? networkRemedy(python, requirement) : refusalRemedy(python, requirement),
      });
    }
  }
  throw new SetupError({
    code: "LAP_SETUP_WHEEL",
    message: `pip could not download ${requirements.join(" or ")}: its index has no such wheel for this machine`,
    output,
    remedy: networkRemedy(python, requirements[0] ?? ""),
  });
}

/** @param {import("./python.mjs").Python} python @param {string} requirement */
const command = ({ python }, requirement) => `\`${python} -m pip download --no-deps ${requirement}\``;

/** @param {import("./python.mjs").Python} python @param {string} requirement */
const networkRemedy = (python, requirement) =>
  `check that ${command(python, requirement)} works (network, proxy, index of your pip), then run the command again`;

/** @param {import("./python.mjs").Python} python @param {string} requirement */
const refusalRemedy = (python, requirement) =>
  `correct what pip reports above; \`${python.python} -m pip config list\` shows its settings. Run the command again when ${command(python, requirement)} works`;

/**
 * @param {import("./session.mjs").Session} session
 * @param {{ label: string, python: import("./python.mjs").Python, downloads: string, requirement: string, extra: readonly string[], maxAttempts: number }} what
 * @returns {Promise<{ wheel: string } | { verdict: ReturnType<typeof verdictOf>, output: string }>}
 */
async function downloadOne(session, { label, python, downloads, requirement, extra, maxAttempts }) {
  const options = [
    "--no-deps",
    "--only-binary=:all:",
    "--progress-bar=off",
    "--disable-pip-version-check",
    "--no-input",
    "--dest",
    downloads,
  ];
  for (let attempt = 1; ; attempt++) {
    const again = attempt === 1 ? "" : ` (attempt ${attempt} of ${maxAttempts})`;
    const task = session.report.begin(label, `downloading ${requirement} by pip${again}`);
    const watch = setInterval(() => task.update(megabytes(largestUnder(downloads))), 500);
    // TMPDIR: pip unpacks into this directory. The set-up shows how it grows, and removes it at the end.
    const pip = await session.run(python.python, ["-m", "pip", "download", ...options, ...extra, requirement], {
      env: { ...pipEnvironment(python.env), TMPDIR: downloads },
    });
    clearInterval(watch);
    const wheel = readdirSync(downloads).find((name) => name.endsWith(".whl"));
    if (pip.code === 0 && wheel !== undefined) {
      const path = join(downloads, wheel);
      task.end(`${wheel}: ${megabytes(statSync(path).size)}`);
      return { wheel: path };
    }
    task.end(`pip could not provide ${requirement}${extra.length === 0 ? "" : " for another Python either"}`);
    const verdict = verdictOf(pip.tail);
    if (attempt >= maxAttempts || verdict !== "network") return { verdict, output: pip.tail };
  }
}

/**
 * The size of the largest file below, which is the current download (pip may store it twice).
 * @param {string} directory
 */
function largestUnder(directory) {
  let bytes = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    // pip creates and deletes files in the meantime.
    if (entry.isFile())
      bytes = Math.max(bytes, statSync(join(entry.parentPath ?? entry.path, entry.name), { throwIfNoEntry: false })?.size ?? 0);
  }
  return bytes;
}
