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

  it("does not wait for ever when no server is there", async () => {
    await rejects(openStore({ socket: join(redis.directory, "nobody.sock") }, { timeoutMs: 100 }), unreachable);
    await rejects(openStore({ url: "redis://127.0.0.1:1" }, { timeoutMs: 100 }), unreachable);
  });

  it("does not wait for ever for a server that accepts and says nothing", async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    await rejects(openStore({ url: `redis://127.0.0.1:${port}` }, { timeoutMs: 100 }), unreachable);
    silent.close();
  });

  it("refuses what is no address, and shows no password", async () => {
    await rejects(openStore({ url: "http://example" }), code("LAP_REDIS_URL"));
    await rejects(openStore({ url: "nonsense" }), code("LAP_REDIS_URL"));
    await rejects(openStore({ url: "redis://me:secret@127.0.0.1:1" }, { timeoutMs: 50 }), (error) => {
      ok(error instanceof LapidaryError);
      return unreachable(error) && !JSON.stringify(error).includes("secret");
    });
  });

  it("refuses an address whose password or database is not written as an address needs it, and shows no part of it", async () => {
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

  it("names a server of another kind as such", async () => {
    for (const banner of ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail ESMTP\r\n"]) {
      const other = createServer((socket) => socket.on("error", () => undefined).end(banner)).listen(0, "127.0.0.1");
      await once(other, "listening");
      const { port } = other.address() as AddressInfo;
      await rejects(openStore({ url: `redis://127.0.0.1:${port}` }, { timeoutMs: 2000 }), unreachable, banner);
      other.close();
    }
  });

  it("refuses a node of a cluster", async () => {
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

  it("works over a redis:// URL, and says when the password is wrong", async () => {
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

  it("fails commands in time while the server is away, and goes on when it is back", async () => {
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

  it("lets a command wait for a server that comes back in time", async () => {
    const store = await redis.open({ timeoutMs: 20_000 });
    await redis.server.stop();
    await eventually("the store has noticed", () => store.connection.status !== "ready");
    const answer = store.run((client) => client.ping());
    await redis.start();
    strictEqual(await answer, "PONG");
  });

  it("rejects what was on its way when the server was killed", async () => {
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

  it("fails commands in time when the server hangs", async () => {
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
    await eventually("the server answers again", () =>
      store
        .run((client) => client.ping())
        .then(
          () => true,
          () => false,
        ),
    );
  });

  it("says that Redis is full", async () => {
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

  it("refuses commands once it is closed", async () => {
    const store = await redis.open();
    store.close();
    await rejects(
      store.run((client) => client.ping()),
      unreachable,
    );
  });
});
