import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { jaxVersion, libtpuVersion, tpuScript } from "@lapidary/interop";
import { ensure } from "@lapidary/std";

const environmentScript = join(dirname(tpuScript()), "../xla/lapidary_xla/environment.py");
const packages = [`jax==${jaxVersion}`, `jaxlib==${jaxVersion}`, `libtpu==${libtpuVersion}`];

describe("an interrupted installation of the TPU compiler", function () {
  this.timeout(60_000);
  const cache = mkdtempSync(join(tmpdir(), "lapidary-install-"));
  const name = `jax-${jaxVersion}-libtpu-${libtpuVersion}`;
  const sockets: Socket[] = [];
  let index: Server;
  before(async () => {
    index = createServer((socket) => sockets.push(socket)).listen(0, "127.0.0.1");
    await once(index, "listening");
  });
  after(() => {
    for (const socket of sockets) socket.destroy();
    index.close();
    rmSync(cache, { recursive: true });
  });

  function start(...flags: string[]): ReturnType<typeof spawn> {
    const address = ensure(index.address(), "address");
    const port = typeof address === "string" ? 0 : address.port;
    const env = { ...process.env, LAPIDARY_CACHE: cache, PIP_INDEX_URL: `http://127.0.0.1:${port}/simple`, PIP_CONFIG_FILE: "/dev/null" };
    return spawn(process.env["LAPIDARY_PYTHON"] ?? "python3", [environmentScript, ...flags, ...packages], { env, stdio: "ignore" });
  }

  it("leaves no environment and no draft, keeps the wheels that were downloaded, and releases its lock", async () => {
    const wheels = join(cache, `${name}.wheels`);
    const draft = join(cache, `${name}.tmp-999999999`);
    mkdirSync(wheels);
    mkdirSync(draft);
    writeFileSync(join(wheels, "jax-0-py3-none-any.whl"), "");
    const connected = once(index, "connection");
    const installer = start();
    await connected;
    installer.kill("SIGTERM");
    const [code] = (await once(installer, "exit")) as [number | null];
    strictEqual(code, 143);
    deepStrictEqual(readdirSync(cache).sort(), [`${name}.lock`, `${name}.wheels`]);
    deepStrictEqual(readdirSync(wheels), ["jax-0-py3-none-any.whl"]);

    const [found] = (await once(start("--only-look"), "exit")) as [number | null];
    strictEqual(found, 102, "nothing counts as installed");
    strictEqual(existsSync(draft), false, "the draft of an earlier process is removed");

    const reconnected = once(index, "connection");
    const second = start();
    await reconnected;
    second.kill("SIGTERM");
    strictEqual((await once(second, "exit"))[0], 143, "the second installer got the lock and continued");
  });
});
