import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openStore } from "@lapidary/data-store";
import { putObject, startS3Server, type TestS3Server } from "@lapidary/data-store/testing";
import { prose } from "@lapidary/std/testing";
import { root, Running } from "./support/cli.js";
import { createNamespace, type NetworkNamespace } from "./support/network-namespace.js";
import { freePort } from "./support/xla.js";

const lapidary = join(root, "packages/cli/bin/lapidary.mjs");

const stages = `stages:
  - measure: [gopher]
  - dedup: { exact: { scope: all } }
  - decontaminate: { items: ./evals/*.jsonl }
shard: 4kB
`;

const lines = (file: number): string =>
  Array.from({ length: 6 }, (_, i) => `${JSON.stringify({ id: `${file}-${i}`, text: prose((file * 6 + i) % 15, 8) })}\n`).join("");

describe("a data worker that reaches Redis and the S3-compatible server only", function () {
  this.timeout(240_000);
  let namespace: NetworkNamespace;
  let directory: string;
  let server: TestS3Server;

  before(async function () {
    try {
      namespace = createNamespace();
    } catch (error) {
      process.stderr.write(`skipped: this machine makes no network namespaces: ${(error as Error).message}\n`);
      this.skip();
    }
    directory = mkdtempSync(join(tmpdir(), "lapidary-namespace-"));
    server = await startS3Server(join(directory, "server"), namespace.address);
  });
  after(async () => {
    await server?.close();
    namespace?.remove();
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  });

  it("computes what a run on this host computes, also if it is killed and another one continues", async () => {
    const planner = join(directory, "planner");
    mkdirSync(join(planner, "evals"), { recursive: true });
    writeFileSync(join(planner, "evals/items.jsonl"), `${JSON.stringify({ id: "i", query: prose(3, 8), label: "an answer" })}\n`);
    for (const file of [0, 1, 2]) await putObject(server, `corpus/${file}.jsonl`, Buffer.from(lines(file)));
    const file = (name: string, store: string): string => {
      const path = join(planner, `${name}.yaml`);
      const source = 'sources: { web: { read: "s3://data/corpus/*.jsonl", licence: CC0-1.0 } }';
      writeFileSync(path, `${source}\n${stages}out: ./${name}\n${store}`);
      return path;
    };
    const credentials = {
      AWS_ACCESS_KEY_ID: server.access.accessKeyId,
      AWS_SECRET_ACCESS_KEY: server.access.secretAccessKey,
      AWS_ENDPOINT_URL: server.access.endpoint,
    };
    const env = (home: string): NodeJS.ProcessEnv => ({ ...process.env, ...credentials, LAPIDARY_HOME: join(directory, home) });
    const run = (...args: readonly string[]): Running =>
      new Running(spawn(process.execPath, [lapidary, "data", "run", ...args], { env: env("home"), stdio: ["ignore", "pipe", "pipe"] }));
    const here = await run(file("here", ""), "--workers", "1", "--json").ended;
    strictEqual(here.code, 0, here.stderr);

    const redis = await startRedis(join(directory, "redis"), namespace.address);
    const url = `redis://${namespace.address}:${redis.port}`;
    const workers: Running[] = [];
    const startWorker = (): Running => {
      mkdirSync(join(directory, "worker"), { recursive: true });
      const command = [process.execPath, lapidary, "data", "worker", "--cores", "1", "--verbose", "--redis", url];
      const worker = new Running(namespace.spawn([planner], command, env("worker")));
      workers.push(worker);
      return worker;
    };
    try {
      const first = startWorker();
      const there = run(file("there", "store: s3://data/objects\n"), "--redis", url, "--check", "--json");
      await first.says(/stored [0-9a-f]{64} /);
      first.child.kill("SIGKILL");
      await first.ended;
      startWorker();
      const ended = await there.ended;
      strictEqual(ended.code, 0, ended.stderr);
      const [a, b] = [here, ended].map(({ stdout }) => JSON.parse(stdout) as { readonly computed: number; readonly stages: object });
      deepStrictEqual(b?.stages, a?.stages);
    } finally {
      for (const worker of workers) worker.child.kill("SIGKILL");
      await Promise.all(workers.map(({ ended }) => ended));
      await redis.stop();
    }
    const access = { s3: server.access, scratch: join(directory, "scratch") };
    const [local, remote] = [openStore(join(planner, "here"), access), openStore("s3://data/objects", access)];
    const all = await local.list();
    for (const { key } of all) deepStrictEqual(await remote.find(key), await local.find(key), key);
    ok(all.length > 10);
  });
});

async function startRedis(directory: string, address: string): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const { redisServerPath } = (await import(pathToFileURL(join(root, "tools/setup/checks.mjs")).href)) as {
    readonly redisServerPath: () => string | undefined;
  };
  const binary = redisServerPath();
  ok(binary !== undefined, "a Redis server is installed");
  mkdirSync(directory);
  const port = await freePort();
  const options = ["--bind", address, "--port", String(port), "--dir", directory, "--save", "", "--protected-mode", "no"];
  const child = spawn(binary, [...options, "--maxmemory-policy", "noeviction"], { stdio: "ignore" });
  const exited = once(child, "exit");
  return {
    port,
    stop: async () => {
      child.kill();
      await exited;
    },
  };
}
