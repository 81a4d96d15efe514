#!/usr/bin/env node
/**
 * `npm run pack [-- DIRECTORY]`: writes lapidary-VERSION.tgz, a package for `npm install -g`. The tarball holds the compiled project in
 * `app/` and the launcher (launcher.mjs). It has no dependencies: the set-up of its first run installs those of the lock file.
 *
 *     checkout ──set-up──► dist ──files.mjs──► out/pack/{bin/lapidary.mjs, app/…, package.json} ──npm pack──► lapidary-VERSION.tgz
 */
import { createHash } from "node:crypto";
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { setUp, underSession } from "../setup/main.mjs";
import { kernelsName } from "../setup/kernels.mjs";
import { megabytes } from "../setup/disk-space.mjs";
import { Session, SetupError } from "../setup/session.mjs";
import { packedFiles } from "./files.mjs";

const session = new Session();
const { root, report } = session;
const target = resolve(process.argv[2] ?? root);
const stage = join(root, "out/pack");

const ok = await underSession(session, async () => {
  await setUp(session);
  rmSync(stage, { recursive: true, force: true });
  for (const file of packedFiles(root)) copy(join(root, file), join(stage, "app", file));
  const kernels = join(session.cache, kernelsName(session));
  if (existsSync(kernels)) cpSync(kernels, join(stage, "app/prebuilt", kernelsName(session)), { recursive: true });
  writeFileSync(join(stage, "app/installed.json"), `${JSON.stringify({ digest: digestOf(join(stage, "app")) })}\n`);
  writePackage();
  mkdirSync(target, { recursive: true });
  const { code, stdout, tail } = await session.run("npm", ["pack", "--silent", "--pack-destination", target], { cwd: stage });
  if (code !== 0)
    throw new SetupError({ code: "LAP_SETUP_PACK", message: "npm pack failed", output: tail, remedy: "correct the error that npm names" });
  const tarball = join(target, stdout.trim());
  report.say(`${tarball}: ${megabytes(statSync(tarball).size)}; install it with \`npm install -g ${tarball}\``);
});
process.exitCode = ok ? 0 : 1;

/** The launcher, and the manifest of the package without dependencies and scripts. */
function writePackage() {
  const { name, version, description, license, type, engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const manifest = { name, version, description, license, type, engines, bin: { lapidary: "bin/lapidary.mjs" }, files: ["app", "bin"] };
  writeFileSync(join(stage, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  copy(join(root, "tools/pack/launcher.mjs"), join(stage, "bin/lapidary.mjs"));
  for (const file of ["README.md", "LICENSE"]) copy(join(root, file), join(stage, file));
}

/** A digest of paths and contents. @param {string} directory */
function digestOf(directory) {
  const hash = createHash("sha256");
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const path of files.map(({ parentPath, name }) => join(parentPath, name)).sort())
    hash
      .update(`${path.slice(directory.length)}\0`)
      .update(readFileSync(path))
      .update("\0");
  return hash.digest("hex");
}

/** @param {string} from @param {string} to */
function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}
