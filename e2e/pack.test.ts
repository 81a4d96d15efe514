import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { Home, root } from "./support/cli.js";

const run = promisify(execFile);
const { cacheDirectory } = (await import(pathToFileURL(join(root, "tools/setup/session.mjs")).href)) as {
  cacheDirectory(env: NodeJS.ProcessEnv): string;
};

/** What the set-up of a machine downloads. The installed package finds it in its own cache, so that the test does not download it again. */
const downloads = /^(libtensorflow|tfjs-binding|valkey)-.*(?<!\.lock|\.tmp-\d+)$/;

describe("a package that npm installs", function () {
  this.timeout(400_000);
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "lapidary-pack-")));
  const [prefix, cache] = [join(directory, "prefix"), join(directory, "cache")];
  const home = new Home({ LAPIDARY_HOME: undefined, LAPIDARY_CACHE: cache }, join(prefix, "bin/lapidary"));

  before(async () => {
    await run("npm", ["run", "pack", "--", directory], { cwd: root });
    const tarball = readdirSync(directory).find((name) => /^lapidary-.*\.tgz$/.test(name)) ?? "";
    await run("npm", ["install", "-g", "--prefix", prefix, join(directory, tarball)], { cwd: directory });
    const shared = cacheDirectory(process.env);
    mkdirSync(cache, { mode: 0o700 });
    // A copy of hard links, because the library has a gigabyte.
    for (const name of readdirSync(shared).filter((entry) => downloads.test(entry))) await run("cp", ["-al", join(shared, name), cache]);
  });
  after(async () => {
    await home.run("down");
    await home.clear();
    rmSync(directory, { recursive: true });
  });

  it("the first command sets it up in the cache of the user, with the kernels of the package; the second one starts at once", async () => {
    const first = await home.run("version");
    strictEqual(first.code, 0, first.stderr);
    match(first.stderr, /first run of this version/);
    ok(!first.stderr.includes("compiling"), first.stderr);
    const second = await home.run("version");
    deepStrictEqual([second.code, second.stdout, second.stderr], [0, first.stdout, ""]);
    const app = readdirSync(cache).find((name) => name.startsWith("app-")) ?? "";
    ok(!existsSync(join(cache, app, "node_modules/mocha")), "no packages that only tests need");
  });

  it("doctor finds all, and setup runs a step again", async () => {
    strictEqual((await home.json("doctor"))["ok"], true);
    const again = await home.run("setup", "redis");
    deepStrictEqual([again.code, again.stdout], [0, ""], again.stderr);
  });

  it("a job of the shipped configs runs in an empty directory, which gets the state", async () => {
    const refused = await home.run("launch", "nano16");
    deepStrictEqual([refused.code, refused.stderr.includes("LAP_COORDINATOR_DOWN")], [3, true]);
    const { code, stderr } = await home.run("launch", "configs/jobs/nano16.yaml", "train.steps=2", "--name", "two", "--up");
    strictEqual(code, 0, stderr);
    ok(existsSync(join(home.directory, ".lapidary/runs/two/checkpoints/step-2")));
  });

  it("without a coordinator, commands read the records of runs, and those that act say what is needed", async () => {
    await home.run("down");
    const { jobs } = (await home.json("jobs", "list")) as { jobs: { id: string; state: string; step: number }[] };
    deepStrictEqual(
      jobs.map(({ id, state, step }) => [id, state, step]),
      [["two", "done", 2]],
    );
    match((await home.run("jobs", "get", "two")).stdout, /held-out loss/);
    match((await home.run("logs", "two", "--follow")).stdout, /attempt 1 starts/);
    const { code, stderr } = await home.run("jobs", "cancel", "two");
    deepStrictEqual([code, stderr.includes("LAP_COORDINATOR_DOWN")], [3, true]);
  });
});
