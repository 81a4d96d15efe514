import { ok, rejects, strictEqual } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExitCode, LapidaryError } from "@lapidary/std";
import { openStore } from "./store.js";
import { eventually, redisBinary, TestRedis } from "./testing/redis.js";

const code =
  (expected: string) =>
  (error: unknown): boolean =>
    error instanceof LapidaryError && error.code === expected;
const unreachable = (error: unknown): boolean =>
  code("LAP_REDIS_UNREACHABLE")(error) && (error as LapidaryError).exit === ExitCode.unreachable;

describe("store", () => {
  const redis = TestRedis.use(process.env);

  it("openStore fails within its timeout if no server listens", async () => {
    await rejects(openStore({ socket: join(redis.directory, "missing.sock") }, { timeoutMs: 100 }), unreachable);
    await rejects(openStore({ url: "redis://127.0.0.1:1" }, { timeoutMs: 100 }), unreachable);
  });

  it("openStore fails within its timeout if the server accepts and never replies", async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    await rejects(openStore({ url: `redis://127.0.0.1:${port}` }, { timeoutMs: 100 }), unreachable);
    silent.close();
  });

  it("openStore rejects an invalid address, and its errors contain no password", async () => {
    await rejects(openStore({ url: "http://example" }), code("LAP_REDIS_URL"));
    await rejects(openStore({ url: "nonsense" }), code("LAP_REDIS_URL"));
    await rejects(openStore({ url: "redis://me:secret@127.0.0.1:1" }, { timeoutMs: 50 }), (error) => {
      ok(error instanceof LapidaryError);
      return unreachable(error) && !JSON.stringify(error).includes("secret");
    });
  });

  it("openStore rejects an address with an unescaped password or an invalid database, and its error contains no part of them", async () => {
    const written = [
      "redis://:se%cret@h:1",
      "redis://:se/cret@h:1",
      "redis://:12/cret@h:1",
      "redis://me:12?cret@h:1",
      "redis://me:12#cret@h:1",
      "redis://h:1/cret",
    ];
    for (const url of written)
      await rejects(openStore({ url }), (error) => {
        ok(error instanceof LapidaryError && error.exit === ExitCode.usage, url);
        return error.code === "LAP_REDIS_URL" && !JSON.stringify(error).includes("cret");
      });
  });

  it("openStore rejects a server that is not Redis as unreachable", async () => {
    for (const banner of ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail ESMTP\r\n"]) {
      const other = createServer((socket) => socket.on("error", () => undefined).end(banner)).listen(0, "127.0.0.1");
      await once(other, "listening");
      const { port } = other.address() as AddressInfo;
      await rejects(openStore({ url: `redis://127.0.0.1:${port}` }, { timeoutMs: 2000 }), unreachable, banner);
      other.close();
    }
  });

  it("openStore rejects a node of a cluster", async () => {
    const directory = mkdtempSync(join(tmpdir(), "lap-cluster-"));
    const socket = join(directory, "c.sock");
    const flags = [
      "--port",
      "0",
      "--unixsocket",
      socket,
      "--cluster-enabled",
      "yes",
      "--cluster-port",
      "1",
      "--dir",
      directory,
      "--save",
      "",
    ];
    const server = spawn(redisBinary(process.env), flags, { stdio: "ignore" });
    try {
      await rejects(openStore({ socket }, { timeoutMs: 20_000 }), code("LAP_REDIS_CLUSTER"));
    } finally {
      server.kill("SIGKILL");
      await once(server, "close");
      rmSync(directory, { recursive: true });
    }
  });

  it("a store works over a redis:// URL, and a wrong password is LAP_REDIS_REFUSED", async () => {
    const directory = mkdtempSync(join(tmpdir(), "lap-url-"));
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    taken.close();
    await once(taken, "close");
    const server = spawn(
      redisBinary(process.env),
      ["--port", String(port), "--bind", "127.0.0.1", "--requirepass", "secret", "--dir", directory, "--save", ""],
      { stdio: "ignore" },
    );
    try {
      const store = await openStore({ url: `redis://:secret@127.0.0.1:${port}` }, { timeoutMs: 20_000 });
      strictEqual(await store.run((client) => client.ping()), "PONG");
      store.close();
      await rejects(openStore({ url: `redis://:wrong@127.0.0.1:${port}` }), code("LAP_REDIS_REFUSED"));
      await rejects(openStore({ url: `redis://127.0.0.1:${port}` }), code("LAP_REDIS_REFUSED"));
    } finally {
      server.kill();
      await once(server, "exit");
      rmSync(directory, { recursive: true });
    }
  });

  it("commands fail within their timeout while the server is down, and succeed after it restarts", async () => {
    const store = await redis.open({ timeoutMs: 300 });
    await store.run((client) => client.set(store.key("x"), "1"));
    await redis.server.stop();
    await rejects(
      store.run((client) => client.get(store.key("x"))),
      unreachable,
    );
    await rejects(
      store.run((client) => client.incr(store.key("not-later"))),
      unreachable,
    );
    await redis.start();
    await eventually("the store has reconnected", () =>
      store
        .run((client) => client.get(store.key("x")))
        .then(
          (value) => value === "1",
          () => false,
        ),
    );
    strictEqual(await store.run((client) => client.exists(store.key("not-later"))), 0);
  });

  it("a command waits for a server that restarts within the timeout", async () => {
    const store = await redis.open({ timeoutMs: 20_000 });
    await redis.server.stop();
    await eventually("the store has noticed", () => store.connection.status !== "ready");
    const answer = store.run((client) => client.ping());
    await redis.start();
    strictEqual(await answer, "PONG");
  });

  it("a command in flight is rejected when the server is killed", async () => {
    const store = await redis.open({ timeoutMs: 20_000 });
    const other = await redis.open();
    const rejected = rejects(
      store.run((client) => client.blpop(store.key("never"), 0)),
      unreachable,
    );
    await eventually("the command has reached the server", async () =>
      (await other.run((client) => client.info("clients"))).includes("blocked_clients:1"),
    );
    process.kill(redis.server.pid, "SIGKILL");
    await rejected;
    await redis.start();
  });

  it("commands fail within their timeout while the server hangs", async () => {
    const store = await redis.open({ timeoutMs: 200 });
    process.kill(redis.server.pid, "SIGSTOP");
    try {
      await rejects(
        store.run((client) => client.ping()),
        unreachable,
      );
    } finally {
      process.kill(redis.server.pid, "SIGCONT");
    }
    await eventually("the server replies again", () =>
      store
        .run((client) => client.ping())
        .then(
          () => true,
          () => false,
        ),
    );
  });

  it("a command that Redis rejects for lack of memory is LAP_REDIS_FULL", async () => {
    const store = await redis.open();
    await store.run((client) => client.config("SET", "maxmemory", "1"));
    try {
      await rejects(
        store.run((client) => client.set(store.key("x"), "1")),
        code("LAP_REDIS_FULL"),
      );
    } finally {
      await store.run((client) => client.config("SET", "maxmemory", "0"));
    }
  });

  it("a closed store rejects commands", async () => {
    const store = await redis.open();
    store.close();
    await rejects(
      store.run((client) => client.ping()),
      unreachable,
    );
  });
});
