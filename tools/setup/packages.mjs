/**
 * Installs node_modules as in package-lock.json. npm writes `node_modules/.package-lock.json` at the end of an
 * installation. If this file is missing, the installation was interrupted, and `npm ci` starts again from npm's own cache.
 */
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileProblemIn } from "./file-errors.mjs";
import { isInstalled } from "./installation.mjs";
import { SetupError } from "./session.mjs";
import { contentKey, readStamp, writeStamp } from "./stamp.mjs";

const step = "packages";

/** Installs the tree of the lock file into node_modules, even if NODE_ENV or the user's .npmrc choose otherwise for other projects. */
const npmSettings = [
  ...["--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"],
  ...["--include=optional", "--include=peer"],
  ...[
    "--package-lock=true",
    "--global=false",
    "--dry-run=false",
    "--bin-links=true",
    "--install-strategy=hoisted",
    "--legacy-peer-deps=false",
  ],
];

/** An installed package needs none of the tools that build and test the project. @param {string} root */
const developmentSetting = (root) => (isInstalled(root) ? "--omit=dev" : "--include=dev");

/** @typedef {{ version?: string, integrity?: string, link?: boolean, dev?: boolean, optional?: boolean, devOptional?: boolean, peer?: boolean }} LockedPackage */

/** @param {string} root */
function keyOf(root) {
  return contentKey(root, [join(root, "package-lock.json")]);
}

/** @param {{ root: string }} session */
export function isReady({ root }) {
  return readStamp(root, step)?.key === keyOf(root) && existsSync(join(root, "node_modules/.package-lock.json"));
}

/**
 * The first package that is not installed as locked; undefined if all packages are.
 * @param {string} root
 * @returns {string | undefined}
 */
export function firstOutOfStep(root) {
  const hidden = join(root, "node_modules/.package-lock.json");
  if (!existsSync(hidden)) return "node_modules (never installed to the end)";
  const locked = packagesOf(join(root, "package-lock.json"));
  const installed = packagesOf(hidden);
  for (const [path, wanted] of Object.entries(locked)) {
    if (!path.includes("node_modules/")) continue;
    if (wanted.dev && isInstalled(root)) continue;
    const found = installed[path];
    // An optional package may be for another platform.
    if (found === undefined && (wanted.optional || wanted.devOptional || wanted.peer)) continue;
    const same = found !== undefined && found.version === wanted.version && found.integrity === wanted.integrity;
    if (!same || statSync(join(root, path), { throwIfNoEntry: false }) === undefined) return path;
  }
  return undefined;
}

/**
 * @param {string} file
 * @returns {Record<string, LockedPackage>}
 */
function packagesOf(file) {
  return JSON.parse(readFileSync(file, "utf8")).packages ?? {};
}

/** The step. @param {import("./session.mjs").Session} session */
export async function installPackages(session) {
  const { root } = session;
  if (firstOutOfStep(root) !== undefined) {
    const locked = Object.values(packagesOf(join(root, "package-lock.json")));
    const total = locked.filter(({ dev }) => dev !== true || !isInstalled(root)).length;
    const task = session.report.begin(step, "npm ci");
    const watch = setInterval(() => task.update(`${countInstalled(root)} of at most ${total} packages`), 500);
    const result = await runNpm(session, ["ci", ...npmSettings, developmentSetting(root)]);
    clearInterval(watch);
    if (result.code !== 0) {
      task.end();
      const problem = fileProblemIn(session, root, result.tail);
      if (problem !== undefined) throw problem;
      if (result.code === 127)
        throw new SetupError({
          code: "LAP_SETUP_NPM",
          message: "npm is not on the PATH",
          output: result.tail,
          remedy: "install npm, which comes with Node (Debian, Ubuntu: `apt install npm`), or run this command as `npm run setup`",
        });
      throw new SetupError({
        code: "LAP_SETUP_NPM",
        message: "npm ci failed",
        output: result.tail,
        remedy:
          "check that `npm ping` works (network, proxy, registry of your npm), then run the command again; after editing a package.json run `npm install` first",
      });
    }
    task.end("installed");
  }
  writeStamp(root, step, { key: keyOf(root) });
}

/**
 * Runs the npm that started this process, or the npm on the PATH.
 * @param {import("./session.mjs").Session} session
 * @param {readonly string[]} args
 */
function runNpm(session, args) {
  const cli = session.env.npm_execpath;
  return cli?.endsWith(".js") ? session.run(process.execPath, [cli, ...args]) : session.run("npm", args);
}

/** The number of packages that have files. npm makes all directories first. @param {string} root */
function countInstalled(root) {
  const directory = join(root, "node_modules");
  if (!existsSync(directory)) return 0;
  return readdirSync(directory)
    .flatMap((name) =>
      name.startsWith("@") && existsSync(join(directory, name))
        ? readdirSync(join(directory, name)).map((below) => join(name, below))
        : [name],
    )
    .filter((name) => existsSync(join(directory, name, "package.json"))).length;
}
