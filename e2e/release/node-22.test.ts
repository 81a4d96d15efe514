import { match, ok, strictEqual } from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "../support/cli.js";
import { InstalledPackage } from "../support/installed-package.js";

const run = promisify(execFile);

describe("the installed package on Node 22", function () {
  this.timeout(900_000);
  let installed: InstalledPackage | undefined;

  before(async () => {
    const { stdout } = await run(process.execPath, [join(root, "tools/cached-packages.mjs"), "node-22"], { cwd: root });
    const node = join(stdout.trim(), `node_modules/node-${process.platform}-${process.arch}/bin/node`);
    match((await run(node, ["--version"])).stdout, /^v22\./);
    installed = new InstalledPackage(node);
    await installed.install();
  });
  after(() => installed?.remove());

  it("sets itself up, finds everything, and trains with native kernels", async () => {
    ok(installed !== undefined);
    const { home } = installed;
    const version = await home.run("version");
    strictEqual(version.code, 0, version.stderr);
    const doctor = (await home.json("doctor")) as { ok: boolean; checks: { name: string; detail: string }[] };
    strictEqual(doctor.ok, true, JSON.stringify(doctor));
    match(doctor.checks.find(({ name }) => name === "node")?.detail ?? "", /^Node 22\./);
    const { code, stderr } = await home.run("launch", "configs/jobs/nano16.yaml", "train.steps=2", "--name", "two", "--up");
    strictEqual(code, 0, stderr);
    ok(existsSync(join(home.directory, ".lapidary/runs/two/checkpoints/step-2")));
  });
});
