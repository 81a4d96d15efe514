/**
 * Parts of wheels from the package index that the user's pip is configured for: pip downloads and verifies them
 * (proxies, certificates and mirrors are its business), we unpack only the members we need.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { firstDamage, publish, writeManifest } from "./cache.mjs";
import { withLock } from "./lock.mjs";
import { SetupError } from "./session.mjs";

const attempts = 3;
/** Only C++ libraries are wanted: a wheel for another Python serves as well when there is none for this one. */
const otherPython = ["--python-version=3.12", "--implementation=cp"];
const unpackScript = fileURLToPath(new URL("unpack_wheel.py", import.meta.url));

/**
 * A Python 3 with pip.
 * @param {import("./session.mjs").Session} session
 * @returns {Promise<{ python: string, version: string, pip: string } | undefined>}
 */
export async function findPython(session) {
  const candidates = session.env.LAPIDARY_PYTHON ? [session.env.LAPIDARY_PYTHON] : ["python3", "python"];
  for (const python of candidates) {
    const found = await session.run(python, ["-c", "import sys, pip; print('%d.%d.%d' % sys.version_info[:3], pip.__version__)"]);
    const [version, pip] = found.stdout.trim().split(" ");
    if (found.code === 0 && version?.startsWith("3.") && pip !== undefined) return { python, version, pip };
  }
  return undefined;
}

/**
 * `cache/NAME/` with the wanted members of one of the wheels, downloaded unless it is there already.
 * @param {import("./session.mjs").Session} session
 * @param {{ label: string, directory: string, requirements: readonly string[], members: Readonly<Record<string, string>> }} want
 *   `requirements`: tried in this order; `members`: prefix in the wheel → target in the directory
 */
export async function provideWheelParts(session, want) {
  if ((await firstDamage(want.directory)) !== undefined)
    await withLock(session, `${want.directory}.lock`, () => fetchWheelParts(session, want));
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {Parameters<typeof provideWheelParts>[1]} want
 */
async function fetchWheelParts(session, { label, directory, requirements, members }) {
  // Another clone may have brought it while we waited for the lock.
  const damage = await firstDamage(directory);
  if (damage === undefined) return;
  if (existsSync(directory)) session.report.say(`${label}: ${join(directory, damage)} is missing or damaged; fetching it again`);
  const found = await findPython(session);
  if (found === undefined) {
    throw new SetupError({
      code: "LAP_SETUP_PYTHON",
      message: "no Python 3 with pip is found",
      remedy: "install Python 3 with pip (or `python3 -m ensurepip --user`), or point LAPIDARY_PYTHON to one",
    });
  }
  await publish(session, directory, async (temporary) => {
    const downloads = join(temporary, "download");
    mkdirSync(downloads, { recursive: true });
    const wheel = await download(session, { label, python: found.python, downloads, requirements });
    const manifest = await unpack(session, { label, python: found.python, wheel, temporary, members });
    rmSync(downloads, { recursive: true, force: true });
    writeManifest(temporary, manifest);
  });
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {{ label: string, python: string, downloads: string, requirements: readonly string[] }} what
 * @returns {Promise<string>} the wheel's path
 */
async function download(session, { label, python, downloads, requirements }) {
  let tail = "";
  for (const extra of [[], otherPython]) {
    for (const requirement of requirements) {
      const got = await downloadOne(session, { label, python, downloads, requirement, extra });
      if (got.wheel !== undefined) return got.wheel;
      tail = got.tail;
    }
  }
  throw new SetupError({
    code: "LAP_SETUP_WHEEL",
    message: `pip could not download ${requirements.join(" or ")}`,
    output: tail,
    remedy: `check that \`${python} -m pip download --no-deps ${requirements[0]}\` works (network, proxy, index of your pip), then run the command again`,
  });
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {{ label: string, python: string, downloads: string, requirement: string, extra: readonly string[] }} what
 * @returns {Promise<{ wheel: string | undefined, tail: string }>}
 */
async function downloadOne(session, { label, python, downloads, requirement, extra }) {
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
    const again = attempt === 1 ? "" : ` (attempt ${attempt} of ${attempts})`;
    const task = session.report.begin(label, `downloading ${requirement} by pip${again}`);
    const watch = setInterval(() => task.update(megabytes(largestUnder(downloads))), 500);
    // TMPDIR: pip unpacks into the directory whose growth we show and which vanishes with us.
    const pip = await session.run(python, ["-m", "pip", "download", ...options, ...extra, requirement], {
      env: { ...session.env, TMPDIR: downloads },
    });
    clearInterval(watch);
    const wheel = readdirSync(downloads).find((name) => name.endsWith(".whl"));
    if (pip.code === 0 && wheel !== undefined) {
      const path = join(downloads, wheel);
      task.end(`${wheel}: ${megabytes(statSync(path).size)}`);
      return { wheel: path, tail: "" };
    }
    task.end(`pip could not provide ${requirement}${extra.length === 0 ? "" : " for another Python either"}`);
    if (attempt === attempts || /no matching distribution/i.test(pip.tail)) return { wheel: undefined, tail: pip.tail };
  }
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {{ label: string, python: string, wheel: string, temporary: string, members: Readonly<Record<string, string>> }} what
 */
async function unpack(session, { label, python, wheel, temporary, members }) {
  const task = session.report.begin(label, "unpacking");
  const result = await session.run(python, [unpackScript, wheel, temporary, ...Object.entries(members).map((pair) => pair.join("="))], {
    onLine: (line) => {
      const [word, done, total] = line.split(" ");
      if (word === "progress") task.update(`${megabytes(Number(done))} of ${megabytes(Number(total))}`);
    },
  });
  if (result.code !== 0) {
    task.end();
    throw new SetupError({
      code: "LAP_SETUP_UNPACK",
      message: `could not unpack ${wheel}`,
      output: result.tail,
      remedy: "if the disk is full, free 2 GB or point LAPIDARY_CACHE to a roomier place; a damaged wheel goes away with `pip cache purge`",
    });
  }
  const lastLine = result.stdout.trimEnd().split("\n").at(-1) ?? "{}";
  /** @type {import("./cache.mjs").Manifest["files"]} */
  const manifest = JSON.parse(lastLine);
  const bytes = Object.values(manifest).reduce((sum, file) => sum + file.size, 0);
  task.end(`unpacked and verified ${Object.keys(manifest).length} files, ${megabytes(bytes)}`);
  return manifest;
}

/**
 * The size of the largest file below: the one on its way (pip may hold it twice).
 * @param {string} directory
 */
function largestUnder(directory) {
  let bytes = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    // Files come and go while pip works.
    if (entry.isFile())
      bytes = Math.max(bytes, statSync(join(entry.parentPath ?? entry.path, entry.name), { throwIfNoEntry: false })?.size ?? 0);
  }
  return bytes;
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}
