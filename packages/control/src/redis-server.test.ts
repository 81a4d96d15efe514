import { ok, rejects, strictEqual } from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { directoryStamp, LapidaryError } from "@lapidary/std";
import { thisProcess } from "@lapidary/std/process-id";
import { isAlive, type RedisServer, startRedisServer } from "./redis-server.js";
import { openStore } from "./store.js";
import { eventually, redisBinary } from "./testing/redis.js";

const code =
  (expected: string) =>
  (error: unknown): boolean =>
    error instanceof LapidaryError && error.code === expected && error.remedy !== "";

describe("redis server", () => {
  const binary = redisBinary(process.env);
  let directory = "";
  const started: RedisServer[] = [];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lap-server-"));
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((server) => server.stop()));
    rmSync(directory, { recursive: true });
  });
  const start = async (options: { binary?: string; directory?: string; timeoutMs?: number } = {}): Promise<RedisServer> => {
    const server = await startRedisServer({ binary, directory, ...options });
    started.push(server);
    return server;
  };

  it("the private server listens on a socket of this user and on no port, and never evicts", async () => {
    const server = await start();
    strictEqual(statSync(server.socket).mode & 0o077, 0);
    const store = await openStore(server.address);
    const config = async (name: string): Promise<unknown> => ((await store.run((redis) => redis.config("GET", name))) as unknown[])[1];
    strictEqual(await config("port"), "0");
    strictEqual(await config("maxmemory-policy"), "noeviction");
    strictEqual(await config("appendfsync"), "everysec");
    strictEqual(readFileSync(join(directory, "redis.pid"), "utf8").trim(), String(server.pid));
    store.close();
  });

  it("the private server keeps its data across stop and start", async () => {
    const first = await start();
    const before = await openStore(first.address);
    await before.run((redis) => redis.set("kept", "yes"));
    before.close();
    await first.stop();
    ok(!isAlive(first.pid));
    ok(!existsSync(first.socket));
    const second = await start();
    ok(!second.adopted);
    const after = await openStore(second.address);
    strictEqual(await after.run((redis) => redis.get("kept")), "yes");
    after.close();
  });

  it("concurrent starts start one server", async () => {
    const servers = await Promise.all([start(), start(), start(), start()]);
    strictEqual(new Set(servers.map(({ pid }) => pid)).size, 1);
    strictEqual(servers.filter(({ adopted }) => !adopted).length, 1);
  });

  it("start adopts a running server, and stop ends an adopted server", async () => {
    const first = await start();
    const second = await start();
    ok(second.adopted);
    strictEqual(second.pid, first.pid);
    await second.stop();
    await eventually("the process has ended", () => !isAlive(first.pid));
  });

  it("start replaces the socket, pid file and lock of a killed server", async () => {
    const first = await start();
    process.kill(first.pid, "SIGKILL");
    await eventually("the process has ended", () => !isAlive(first.pid));
    ok(existsSync(first.socket));
    // The form of an earlier version.
    writeFileSync(join(directory, "starting.lock"), String(first.pid));
    const second = await start();
    ok(!second.adopted);
    ok(!existsSync(join(directory, "starting.lock")));
  });

  describe("a lock without an owner does not prevent a start", () => {
    const owner = { ...thisProcess(), directory: "" };
    for (const [name, left] of [
      ["of a process whose number another one has now", { ...owner, started: "1" }],
      ["of a process that is gone", { ...owner, pid: 2 ** 22 + 1 }],
      ["of a container that is gone", { ...owner, space: "another" }],
      ["that came with a copy of the directory", { ...owner, directory: "another" }],
    ] as const)
      it(name, async () => {
        const lock = join(directory, "starting.lock");
        writeFileSync(lock, JSON.stringify({ ...left, directory: left.directory === "" ? directoryStamp(directory) : left.directory }));
        ok(!(await start()).adopted);
        ok(!existsSync(lock));
      });
  });

  it("waits for a process of another container while that touches its lock, and names it", async () => {
    const lock = join(directory, "starting.lock");
    writeFileSync(lock, JSON.stringify({ ...thisProcess(), pid: 7, space: "another", directory: directoryStamp(directory) }));
    const refresh = setInterval(() => utimesSync(lock, new Date(), new Date()), 100);
    await rejects(start({ timeoutMs: 6500 }), /process 7 of another machine or container has been starting it for 6500 ms/);
    clearInterval(refresh);
    ok(existsSync(lock));
  });

  it("stop kills a server that hangs", async () => {
    const server = await start();
    process.kill(server.pid, "SIGSTOP");
    await server.stop(300);
    ok(!isAlive(server.pid));
  });

  it("the server uses a shorter socket path if the path in its directory is too long", async () => {
    const deep = join(directory, "a".repeat(60), "b".repeat(60));
    const server = await start({ directory: deep });
    ok(Buffer.byteLength(server.socket) < 104);
    ok((await start({ directory: deep })).adopted);
    await server.stop();
    rmSync(dirname(server.socket), { recursive: true });
  });

  it("the server works in a directory with spaces and quotes in its name", async () => {
    const odd = join(directory, `it's "odd"`);
    const server = await start({ directory: odd });
    ok(existsSync(join(odd, "appendonlydir")));
    ok(!server.adopted);
  });

  it("a binary that is missing or not executable is LAP_REDIS_BINARY", async () => {
    await rejects(start({ binary: join(directory, "missing") }), code("LAP_REDIS_BINARY"));
    const plain = join(directory, "plain");
    writeFileSync(plain, "not a program");
    await rejects(start({ binary: plain }), code("LAP_REDIS_BINARY"));
    ok(!existsSync(join(directory, "starting.lock")));
  });

  it("the error of a server that exits immediately contains the end of its log", async () => {
    const failing = join(directory, "failing");
    writeFileSync(failing, "#!/bin/sh\necho 'Bad file format reading the append only file' >&2\nexit 1\n");
    chmodSync(failing, 0o755);
    await rejects(start({ binary: failing }), (error) => code("LAP_REDIS_START")(error) && /Bad file format/.test(String(error)));
  });

  it("a running server whose eviction policy was changed is rejected", async () => {
    const server = await start();
    const store = await openStore(server.address);
    await store.run((redis) => redis.config("SET", "maxmemory-policy", "allkeys-lru"));
    store.close();
    await rejects(start(), (error) => code("LAP_REDIS_EVICTS")(error) && (error as LapidaryError).remedy.includes("noeviction"));
    await rejects(openStore(server.address), code("LAP_REDIS_EVICTS"));
  });
});
