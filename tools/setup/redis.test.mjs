import { deepEqual, equal, match } from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { describeFinding, findRedisServer } from "./redis.mjs";
import { isOldRedis, oldestRedisName, parseServerVersion } from "./redis-version.mjs";

describe("versions of a Redis server", () => {
  it("the version is read from --version of Redis, Valkey and KeyDB, also in its form before Redis 2.6", () => {
    for (const [text, name, version] of /** @type {const} */ ([
      ["Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0", "Redis", "7.0.15"],
      ["Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0", "Valkey", "8.0.1"],
      ["KeyDB server v=6.3.4 sha=00000000:0", "KeyDB", "6.3.4"],
      ["Redis server version 2.4.10 (00000000:0)", "Redis", "2.4.10"],
      ["No version is set for command redis-server\nRedis server v=255.255.255 sha=0", "Redis", "255.255.255"],
    ]))
      deepEqual(parseServerVersion(text), { name, version });
    for (const text of ["", "dragonfly v1.14.0", "usage: redis-server", "7.0.15"]) equal(parseServerVersion(text), undefined);
  });

  it(`a version below ${oldestRedisName} is old, and so is a text without a number`, () => {
    for (const version of ["5.0.7", "6.0.16", "6.1.99", "2.4.10", "", "unstable"]) equal(isOldRedis(version), true, version);
    for (const version of ["6.2.0", "6.2", "6.10.1", "7.0.15", "10.0.0", "255.255.255"]) equal(isOldRedis(version), false, version);
  });
});

describe("findRedisServer", function () {
  this.timeout(60_000);
  /** @type {string} */
  let directory;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-redis-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  /** @param {string} name @param {string} script @param {number} [mode] */
  const program = (name, script, mode = 0o755) => {
    const path = join(directory, name);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, script, { mode });
    return path;
  };
  /** @param {string} text */
  const prints = (text) => `#!/bin/sh\necho "${text}"\n`;
  const good = prints("Redis server v=7.2.4 sha=0");
  /** @param {readonly string[]} entries @param {number} [timeout_ms] */
  const find = (entries, timeout_ms = 30_000) =>
    findRedisServer({ env: { PATH: entries.join(delimiter) }, cache: join(directory, "cache"), timeout_ms });

  it("findRedisServer takes the first server that is new enough, and names the old ones before it", () => {
    const old = program("a/redis-server", prints("Redis server v=5.0.7 sha=0"));
    const server = program("b/valkey-server", prints("Valkey server v=8.1.0 sha=0"));
    program("c/redis-server", good);
    const finding = find(["a", "b", "c"].map((name) => join(directory, name)));
    equal(finding.server?.path, server);
    deepEqual(finding.passedOver, [{ path: old, reason: `Redis 5.0.7 is older than ${oldestRedisName}` }]);
    match(describeFinding(finding), /^Valkey 8\.1\.0 at .*valkey-server; passed over .*Redis 5\.0\.7 is older than/);
  });

  it("findRedisServer takes a newer valkey-server from the same directory as an old redis-server", () => {
    program("a/redis-server", prints("Redis server v=6.0.16 sha=0"));
    equal(find([join(directory, "a")]).server, undefined);
    const server = program("a/valkey-server", good);
    equal(find([join(directory, "a")]).server?.path, server);
  });

  for (const [what, script, reason] of /** @type {const} */ ([
    ["prints nothing", "#!/bin/sh\nexit 0\n", /does not report a version of Redis \(exit code 0\)/],
    ["fails, as a shim without a version does", '#!/bin/sh\necho "No version is set" >&2\nexit 126\n', /exit code 126: No version is set/],
    ["is another program", prints("dragonfly v1.14.0"), /does not report a version of Redis \(exit code 0: dragonfly/],
    ["crashes", "#!/bin/sh\nkill -SEGV $$\n", /SIGSEGV/],
    ["has no interpreter", "#!/nowhere/sh\n", /does not run \(ENOENT\)/],
    ["is for another machine", "\x7fELF\x00\x00\x00\x00", /does not run \(ENOEXEC\)|does not report a version/],
  ]))
    it(`findRedisServer skips a server that ${what}`, () => {
      program("a/redis-server", script);
      const server = program("b/redis-server", good);
      const finding = find([join(directory, "a"), join(directory, "b")]);
      equal(finding.server?.path, server);
      match(String(finding.passedOver[0]?.reason), reason);
    });

  it("findRedisServer skips a server that hangs, and ends its process", async () => {
    const marker = join(directory, "pid");
    program("a/redis-server", `#!/bin/sh\n/bin/sleep 600 &\necho $! > '${marker}'\nwait\n`);
    const finding = find([join(directory, "a")], 1000);
    match(String(finding.passedOver[0]?.reason), /within 1 s/);
    // A script that had no time to start anything has left nothing to end.
    const stat = existsSync(marker) ? `/proc/${readFileSync(marker, "utf8").trim()}/stat` : "";
    // The system takes a moment to end a process; one that is never ended fails by the time limit of the test.
    while (existsSync(stat) && !/^.*\) [ZX]/s.test(readFileSync(stat, "utf8"))) await new Promise((done) => setImmediate(done));
  });

  it("findRedisServer skips directories, dangling links, files that are not executable, and relative or empty entries of the PATH", () => {
    mkdirSync(join(directory, "a/redis-server"), { recursive: true });
    mkdirSync(join(directory, "b"));
    symlinkSync(join(directory, "nothing"), join(directory, "b/redis-server"));
    program("c/redis-server", good, 0o644);
    const server = program("d/redis-server", good);
    const finding = find(["", ".", "~/bin", join(directory, "a"), join(directory, "b"), join(directory, "c"), join(directory, "d")]);
    deepEqual(finding, { server: { path: server, name: "Redis", version: "7.2.4" }, passedOver: [] });
  });
});
