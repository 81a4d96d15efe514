import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { Home, root } from "./cli.js";

const run = promisify(execFile);
const { cacheDirectory } = (await import(pathToFileURL(join(root, "tools/setup/session.mjs")).href)) as {
  cacheDirectory(env: NodeJS.ProcessEnv): string;
};

/** What the set-up of a machine downloads. The installed package finds it in its own cache, so that a test does not download it again. */
const downloads = /^(libtensorflow|tfjs-binding|valkey)-.*(?<!\.lock|\.tmp-\d+)$/;

/** The package of `npm run pack`, which npm installs in a directory with its own prefix and cache. */
export class InstalledPackage {
  readonly #directory = realpathSync(mkdtempSync(join(tmpdir(), "lapidary-pack-")));
  readonly cache = join(this.#directory, "cache");
  /** Runs the installed command in an empty directory. */
  readonly home: Home;

  /** @param node the Node that runs the command and npm */
  constructor(node: string = process.execPath) {
    // Before all other programs called node.
    const path = `${dirname(node)}:${process.env["PATH"] ?? ""}`;
    const env = { LAPIDARY_HOME: undefined, LAPIDARY_CACHE: this.cache, ...(node === process.execPath ? {} : { PATH: path }) };
    this.home = new Home(env, join(this.#directory, "prefix/bin/lapidary"), node);
  }

  async install(): Promise<void> {
    const directory = this.#directory;
    await run("npm", ["run", "pack", "--", directory], { cwd: root });
    const tarball = readdirSync(directory).find((name) => /^lapidary-.*\.tgz$/.test(name)) ?? "";
    const env = { ...process.env, ...this.home.env };
    await run("npm", ["install", "-g", "--prefix", join(directory, "prefix"), join(directory, tarball)], { cwd: directory, env });
    const shared = cacheDirectory(process.env);
    mkdirSync(this.cache, { mode: 0o700 });
    // A copy of hard links, because the library has a gigabyte.
    for (const name of readdirSync(shared).filter((entry) => downloads.test(entry)))
      await run("cp", ["-al", join(shared, name), this.cache]);
  }

  async remove(): Promise<void> {
    await this.home.clear();
    rmSync(this.#directory, { recursive: true });
  }
}
