import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import { pathToFileURL } from "node:url";
import { tinyJob } from "../support/cases.js";
import { Home, root } from "../support/cli.js";

const canary = "s3cret-canary";

/** A Redis-compatible server with a password, as a user runs one. */
class OwnRedis {
  readonly #directory = mkdtempSync(join(tmpdir(), "lapidary-redis-"));
  #child: ChildProcess | undefined;
  port = 0;

  async start(): Promise<void> {
    const { redisServerPath } = (await import(pathToFileURL(join(root, "tools/setup/checks.mjs")).href)) as {
      redisServerPath: (where: { env: NodeJS.ProcessEnv }) => string | undefined;
    };
    const { REDIS_URL: _, ...env } = process.env;
    const binary = redisServerPath({ env });
    assert.ok(binary !== undefined, "the set-up provides a server");
    this.port = await freePort();
    const flags = ["--port", `${this.port}`, "--requirepass", canary, "--save", "", "--dir", this.#directory];
    this.#child = spawn(binary, flags, { stdio: "ignore" });
    while (!(await listens(this.port))) await delay(20);
  }

  url(database: number | string, password = canary): string {
    return `redis://:${password}@127.0.0.1:${this.port}/${database}`;
  }

  stop(): void {
    this.#child?.kill("SIGKILL");
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

const listens = (port: number): Promise<boolean> =>
  new Promise((done) => {
    const probe = connect(port, "127.0.0.1");
    probe.once("connect", () => {
      probe.destroy();
      done(true);
    });
    probe.once("error", () => done(false));
  });

const listening = async (server: Server): Promise<number> => {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return (server.address() as { port: number }).port;
};

describe("a private Redis", function () {
  this.timeout(180_000);
  const redis = new OwnRedis();
  const homes: Home[] = [];
  const newHome = (env: Readonly<Record<string, string>> = {}): Home => {
    const home = new Home(env);
    homes.push(home);
    return home;
  };
  before(() => redis.start());
  after(async () => {
    for (const home of homes) await home.clear();
    redis.stop();
  });

  interface Doctor {
    readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string; readonly remedy: string }[];
  }
  const redisCheck = async (url: string, env: Readonly<Record<string, string>> = {}): Promise<Doctor["checks"][number]> => {
    const { stdout } = await newHome({ REDIS_URL: url, ...env }).run("doctor", "--json");
    const found = (JSON.parse(stdout) as Doctor).checks.find(({ name }) => name === "redis");
    assert.ok(found !== undefined);
    return found;
  };

  describe("case 67: two owners of one Redis", () => {
    it("homes of one path have different keys: the second neither ends nor sees the first", async function () {
      // A copy of another state directory, at the same path from the view of Redis. Only the identity differs.
      const first = newHome({ REDIS_URL: redis.url(5) });
      const second = newHome({ REDIS_URL: redis.url(5) });
      await first.json("up", "--workers", "1");
      await first.json("launch", tinyJob, "train.steps=4", "--name", "one");
      await second.json("up", "--workers", "1");
      await second.json("launch", tinyJob, "train.steps=4", "--name", "two");
      const names = async (home: Home): Promise<string[]> => ((await home.json("jobs")).jobs as { id: string }[]).map(({ id }) => id);
      assert.deepEqual([await names(first), await names(second)], [["one"], ["two"]]);
      await first.json("down");
      await second.json("down");
    });

    it("a copied home gets a new identity, a renamed one keeps its own, and both keep their runs", async () => {
      const [original] = homes.filter(({ state }) => existsSync(join(state, "identity.json")));
      assert.ok(original !== undefined);
      const idOf = (state: string): string => (JSON.parse(readFileSync(join(state, "identity.json"), "utf8")) as { id: string }).id;
      const before = idOf(original.state);
      const copy = newHome({ REDIS_URL: redis.url(5) });
      rmSync(copy.state, { recursive: true, force: true });
      cpSync(original.state, copy.state, { recursive: true });
      await copy.json("up", "--workers", "1");
      assert.notEqual(idOf(copy.state), before);
      const jobs = (await copy.json("jobs")).jobs as { id: string }[];
      assert.deepEqual(
        jobs.map(({ id }) => id),
        ["one"],
      );
      await copy.json("down");
      const moved = join(original.directory, "moved");
      renameSync(original.state, moved);
      await original.json("up", "--workers", "1", "--home", moved);
      assert.equal(idOf(moved), before);
      await original.json("down", "--home", moved);
    });

    it("a copy of a home in use has no coordinator: commands there neither reach nor stop that of the original", async () => {
      const original = newHome();
      const copy = newHome();
      const { pid } = (await original.json("up", "--workers", "1")) as { pid: number };
      rmSync(copy.state, { recursive: true, force: true });
      execFileSync("cp", ["-a", original.state, copy.state]);
      const status = await copy.run("status", "--json");
      assert.deepEqual([status.code, /LAP_COORDINATOR_DOWN/.test(status.stdout)], [3, true], status.stdout);
      assert.deepEqual((await copy.json("down"))["processes"], []);
      await copy.json("up", "--workers", "1");
      await copy.json("down");
      assert.equal((await original.json("status"))["pid"], pid);
      await original.json("down");
    });

    it("a process of another container counts as alive although its number does not exist here", async function () {
      try {
        execFileSync("unshare", ["-m", "-p", "-f", "--mount-proc", "true"], { stdio: "ignore" });
      } catch {
        // Namespaces need root.
        return this.skip();
      }
      const home = newHome();
      const up = spawn(
        "unshare",
        ["-m", "-p", "-f", "--mount-proc", process.execPath, join(root, "packages/cli/bin/lapidary.mjs"), "up", "--workers", "1"],
        { env: { ...process.env, LAPIDARY_HOME: home.state }, stdio: "ignore" },
      );
      // The command is the first process of the namespace. The coordinator runs until the command exits.
      const keeper = spawn(
        "unshare",
        [
          "-m",
          "-p",
          "-f",
          "--mount-proc",
          "sh",
          "-c",
          `${process.execPath} ${join(root, "packages/cli/bin/lapidary.mjs")} up --workers 1; sleep 60`,
        ],
        { env: { ...process.env, LAPIDARY_HOME: join(home.directory, "kept") }, stdio: "ignore", detached: true },
      );
      await new Promise((done) => up.once("close", done));
      const connection = join(home.directory, "kept", "coordinator.json");
      while (!existsSync(connection)) await delay(50);
      const { code, stdout } = await home.run("up", "--workers", "1", "--home", join(home.directory, "kept"), "--json");
      try {
        assert.notEqual(code, 0, stdout);
        assert.match(stdout, /LAP_ALREADY_UP/);
      } finally {
        process.kill(-(keeper.pid ?? 0), "SIGKILL");
      }
    });

    it("a home has one coordinator under all names that lead to it, and `down` under any name stops it", async () => {
      const home = newHome();
      mkdirSync(home.state, { recursive: true });
      const link = join(home.directory, "link");
      symlinkSync(home.state, link);
      const { pid } = (await home.json("up", "--workers", "1", "--home", link)) as { pid: number };
      const second = await home.run("up", "--workers", "1", "--json");
      assert.match(second.stdout, /LAP_ALREADY_UP/);
      assert.equal((await home.json("status"))["pid"], pid);
      assert.ok(((await home.json("down"))["processes"] as number[]).includes(pid));
      assert.deepEqual((await home.json("down", "--home", link))["processes"], []);
    });

    it("`down` in another container reports that it cannot stop the coordinator of this one", async function () {
      const inContainer = ["-m", "-p", "-f", "--mount-proc"];
      try {
        execFileSync("unshare", [...inContainer, "true"], { stdio: "ignore" });
      } catch {
        // Namespaces need root.
        this.skip();
      }
      const home = newHome();
      const { pid } = (await home.json("up", "--workers", "1")) as { pid: number };
      const bin = join(root, "packages/cli/bin/lapidary.mjs");
      const down = spawnSync("unshare", [...inContainer, process.execPath, bin, "down", "--json", "--home", home.state], {
        encoding: "utf8",
      });
      assert.notEqual(down.status, 0);
      assert.match(down.stdout, new RegExp(`LAP_ALREADY_UP.*process ${pid} of another machine or container`));
      assert.match(down.stdout, /lapidary down` on that machine or in that container/);
      assert.equal((await home.json("status"))["pid"], pid);
      await home.json("down");
    });

    it("`down` finds the server that was started under another TMPDIR", async () => {
      const [long, first, second] = ["x".repeat(90), "tmp-a", "tmp-b"];
      const base = newHome();
      const state = join(base.directory, long, "state");
      for (const name of [first, second]) mkdirSync(join(base.directory, name));
      const under = (name: string): Home => newHome({ LAPIDARY_HOME: state, TMPDIR: join(base.directory, name) });
      await under(first).json("up", "--workers", "1");
      await under(second).json("down");
      const left = readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .filter((pid) => {
          try {
            return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(join(base.directory, first));
          } catch {
            return false;
          }
        });
      assert.deepEqual(left, []);
    });
  });

  describe("case 66: secrets", () => {
    it("doctor connects and reports version, database and eviction policy, without the password", async () => {
      const check = await redisCheck(redis.url(7));
      assert.equal(check.ok, true, check.detail);
      assert.match(check.detail, /version \d+\.\d+.*database 7, maxmemory-policy noeviction/);
      assert.ok(!check.detail.includes(canary));
    });

    it("doctor reports the error that `up` would give", async () => {
      const wrong = await redisCheck(redis.url(5, `${canary}-wrong`));
      assert.deepEqual([wrong.ok, /LAP_REDIS_REFUSED/.test(wrong.detail)], [false, true]);
      const home = newHome({ REDIS_URL: redis.url(5, `${canary}-wrong`) });
      const { code, stdout } = await home.run("up", "--json");
      assert.equal(code, 3);
      assert.match(stdout, /LAP_REDIS_REFUSED/);
      assert.ok(!`${wrong.detail}${wrong.remedy}${stdout}`.includes(canary));
      assert.match((await redisCheck(redis.url(99))).detail, /no database with this number/);
    });

    it("no output, file, command line or worker's environment contains the password", async () => {
      const home = newHome({ REDIS_URL: redis.url(6) });
      let said = "";
      const keep = async (...args: string[]): Promise<void> => {
        const { stdout, stderr } = await home.run(...args);
        said += stdout + stderr;
      };
      await keep("doctor", "-v");
      await keep("up", "--workers", "1", "-v");
      await keep("status", "--json", "-v");
      await keep("launch", tinyJob, "train.steps=2", "--name", "short", "-v");
      const environments = home
        .processes()
        .filter((line) => / lapidary w\d/.test(line))
        .map((line) => readFileSync(`/proc/${line.split(" ")[0]}/environ`, "utf8"));
      assert.ok(environments.length > 0, home.processes().join("\n"));
      const commandLines = home.processes().join("\n");
      await keep("jobs", "events", "short");
      await keep("logs", "short");
      await keep("down", "-v");
      const files = readdirSync(home.state, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .filter((path) => readFileSync(path).includes(canary));
      assert.deepEqual(files, []);
      for (const text of [said, commandLines, ...environments]) assert.ok(!text.includes(canary), text.slice(0, 400));
    });
  });

  describe("case 97: a proxy in the environment", () => {
    it("the command line sends no request to the proxy: it connects to the coordinator directly", async () => {
      const seen: string[] = [];
      const proxy = createHttpServer((request, response) => {
        seen.push(`${request.method} ${request.url}`);
        response.writeHead(502).end();
      });
      proxy.on("connect", (request, socket) => {
        seen.push(`CONNECT ${request.url}`);
        socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
      });
      const port = await listening(proxy);
      const address = `http://127.0.0.1:${port}`;
      // A loader breaks `fetch`, so the test shows on every version of Node that the command line does not use `fetch`.
      const noFetch = `data:text/javascript,${encodeURIComponent('globalThis.fetch=()=>{throw new Error("fetch was called")}')}`;
      const home = newHome({ NODE_USE_ENV_PROXY: "1", HTTP_PROXY: address, http_proxy: address, NODE_OPTIONS: `--import=${noFetch}` });
      try {
        await home.json("up", "--workers", "1");
        await home.json("launch", tinyJob, "train.steps=2", "--name", "direct");
        await home.json("status");
        await home.json("down");
        assert.deepEqual(seen, []);
      } finally {
        proxy.close();
        proxy.closeAllConnections();
      }
    });
  });

  describe("case 64: TLS", () => {
    const directory = mkdtempSync(join(tmpdir(), "lapidary-tls-"));
    after(() => rmSync(directory, { recursive: true, force: true }));
    /** A TLS port in front of the server, with a certificate for these names, self-signed. */
    async function tlsPort(name: string, days = 2): Promise<{ readonly port: number; readonly certificate: string; close(): void }> {
      const [key, certificate] = [join(directory, `${name}.key`), join(directory, `${name}.crt`)];
      const flags = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", String(days)];
      execFileSync("openssl", [...flags, "-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`], { stdio: "ignore" });
      const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (from) => {
        const to = connect(redis.port, "127.0.0.1");
        from.pipe(to).on("error", () => from.destroy());
        to.pipe(from).on("error", () => to.destroy());
      });
      return { port: await listening(server), certificate, close: () => void server.close() };
    }
    const tlsUrl = (port: number, name = "localhost"): string => `rediss://:${canary}@${name}:${port}/5`;

    it("an error names a self-signed certificate, with NODE_EXTRA_CA_CERTS as the remedy, which works", async () => {
      const { port, certificate, close } = await tlsPort("localhost");
      const refused = await redisCheck(tlsUrl(port));
      assert.match(refused.detail, /LAP_REDIS_UNREACHABLE.*self-signed certificate/i);
      assert.match(refused.remedy, /NODE_EXTRA_CA_CERTS/);
      assert.ok(!refused.detail.includes(canary));
      assert.equal((await redisCheck(tlsUrl(port), { NODE_EXTRA_CA_CERTS: certificate })).ok, true);
      const { code, stdout } = await newHome({ REDIS_URL: tlsUrl(port) }).run("up", "--json");
      assert.deepEqual([code, /LAP_REDIS_UNREACHABLE/.test(stdout), /INTERNAL/.test(stdout)], [3, true, false], stdout);
      close();
    });

    it("an error reports a certificate for another name", async () => {
      const { port, certificate, close } = await tlsPort("elsewhere.example");
      const refused = await redisCheck(tlsUrl(port), { NODE_EXTRA_CA_CERTS: certificate });
      assert.match(refused.detail, /LAP_REDIS_UNREACHABLE/);
      assert.match(refused.remedy, /the host name of the certificate in the address: elsewhere\.example/);
      close();
    });

    it("a port without TLS, a port that never answers and a server of another kind end within seconds", async () => {
      assert.match((await redisCheck(tlsUrl(redis.port))).remedy, /redis:\/\//);
      const silent = createServer(() => undefined);
      const port = await listening(silent);
      assert.match((await redisCheck(`redis://127.0.0.1:${port}`)).detail, /LAP_REDIS_UNREACHABLE/);
      silent.close();
      const web = createHttpServer((_, response) => void response.end("hello"));
      const webPort = await listening(web);
      assert.match((await redisCheck(`redis://127.0.0.1:${webPort}`)).detail, /LAP_REDIS_UNREACHABLE/);
      web.close();
      web.closeAllConnections();
    });
  });
});
