import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { InstalledPackage } from "./support/installed-package.js";

describe("a package that npm installs", function () {
  this.timeout(400_000);
  const installed = new InstalledPackage();
  const { home, cache } = installed;

  before(() => installed.install());
  after(() => installed.remove());

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
