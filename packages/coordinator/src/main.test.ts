import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CoordinatorClient } from "@lapidary/api/client";
import { findConnection } from "@lapidary/api/connection";
import { isOfType } from "@lapidary/api/run-events";
import { aliveOf, endless, endOf, eventOf, Harness, projectRoot, trains } from "./testing/harness.js";

/** A coordinator in its own process. */
class Process {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; stderr: string }>;

  constructor(home: string, { env = {}, flags = [] }: { readonly env?: NodeJS.ProcessEnv; readonly flags?: readonly string[] } = {}) {
    const main = fileURLToPath(new URL("./main.js", import.meta.url));
    this.child = spawn(process.execPath, [main, "--home", home, "--root", projectRoot, "--workers", "1", ...flags], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...env },
    });
    let stderr = "";
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    this.ended = once(this.child, "close").then(([code]: (number | null)[]) => ({ code: code ?? null, stderr }));
  }

  /** Resolves when the coordinator is ready: it has written its connection file. */
  async ready(home: string): Promise<CoordinatorClient> {
    const gone = this.ended.then(({ stderr }) => {
      throw new Error(`it ended: ${stderr}`);
    });
    while (findConnection(home)?.pid !== this.child.pid) await Promise.race([new Promise((resolve) => setTimeout(resolve, 10)), gone]);
    gone.catch(() => undefined);
    return CoordinatorClient.forHome(home);
  }
}

const errorIn = (stderr: string): { code: string; remedy: string; place: string } =>
  JSON.parse(stderr.trim().split("\n").at(-1) ?? "") as { code: string; remedy: string; place: string };

describe("the process of the coordinator", function () {
  this.timeout(60_000);
  let harness: Harness;
  const started: Process[] = [];
  const start = (env: NodeJS.ProcessEnv = {}, ...flags: string[]): Process => {
    const one = new Process(harness.home, { env, flags });
    started.push(one);
    return one;
  };
  const redisPid = (home = harness.home): number => Number(readFileSync(join(home, "redis", "redis.pid"), "utf8"));
  const startedBy = async (client: CoordinatorClient): Promise<number[]> => [
    redisPid(),
    ...(await client.status()).workers.map(({ pid }) => pid),
  ];

  beforeEach(() => {
    harness = new Harness();
  });
  afterEach(async () => {
    for (const { child, ended } of started.splice(0)) {
      child.kill("SIGTERM");
      await ended;
    }
    await harness.remove();
  });

  it("the process writes a connection file that only its owner can read, and ends everything it started at SIGTERM", async () => {
    const one = start();
    const client = await one.ready(harness.home);
    strictEqual(statSync(join(harness.home, "coordinator.json")).mode & 0o777, 0o600);
    const pids = await startedBy(client);
    deepStrictEqual(aliveOf(pids), pids);
    one.child.kill("SIGTERM");
    strictEqual((await one.ended).code, 0);
    deepStrictEqual(aliveOf(pids), []);
    ok(!existsSync(join(harness.home, "coordinator.json")) && !existsSync(join(harness.home, "coordinator.pid")));
    ok(!readFileSync(join(harness.home, "logs", "coordinator.log"), "utf8").includes(tokenOf(client)));
  });

  it("the process ends after a request over HTTP", async () => {
    const one = start();
    await (await one.ready(harness.home)).shutdown();
    strictEqual((await one.ended).code, 0);
  });

  it("the process rejects a home that another coordinator serves, and a port that is taken", async () => {
    const client = await start().ready(harness.home);
    const second = await start().ended;
    deepStrictEqual([second.code, errorIn(second.stderr).code], [1, "LAP_ALREADY_UP"]);
    await client.status();

    const other = new Harness();
    const blocker = createServer().listen(0, "127.0.0.1");
    await once(blocker, "listening");
    const { port } = blocker.address() as { port: number };
    try {
      const third = new Process(other.home, { flags: ["--port", String(port)] });
      const { code, stderr } = await third.ended;
      deepStrictEqual([code, errorIn(stderr).code, errorIn(stderr).place], [1, "LAP_PORT_TAKEN", `127.0.0.1:${port}`]);
      ok(!existsSync(join(other.home, "redis", "redis.pid")) || aliveOf([redisPid(other.home)]).length === 0);
    } finally {
      blocker.close();
      await other.remove();
    }
  });

  it("the process exits with code 3 if Redis is not reachable", async () => {
    const { code, stderr } = await start({}, "--redis", "redis://127.0.0.1:1").ended;
    deepStrictEqual([code, errorIn(stderr).code], [3, "LAP_REDIS_UNREACHABLE"]);
    ok(!existsSync(join(harness.home, "coordinator.pid")));
  });

  it("the process ends immediately if it is interrupted while it starts", async () => {
    const one = start();
    while (!existsSync(join(harness.home, "redis", "redis.pid")))
      await Promise.race([new Promise((resolve) => setTimeout(resolve, 5)), one.ended]);
    const pid = redisPid();
    one.child.kill("SIGINT");
    strictEqual((await one.ended).code, 0);
    deepStrictEqual(aliveOf([pid]), []);
  });

  it("the next coordinator of a killed one takes over the workers and continues from their replicas", async () => {
    const one = start();
    const client = await one.ready(harness.home);
    const { id } = await client.submit({ yaml: harness.job({ steps: endless }) });
    await trains(client, id);
    const redis = redisPid();
    const { workers: busy = [] } = await client.get(id);
    one.child.kill("SIGKILL");
    await one.ended;
    const before = readJournalSteps(join(harness.home, "runs", id));
    const next = start();
    const again = await next.ready(harness.home);
    strictEqual(redisPid(), redis);
    await eventOf(again, id, ({ event, data }) => event === "metrics" && "step" in data && data.step > (before.at(-1) ?? 0) + 1);
    deepStrictEqual((await again.get(id)).workers, busy);
    const { events } = await again.events(id);
    ok(events.some(isOfType("job_taken_over")));
    deepStrictEqual(events.filter(isOfType("state_restored")).at(-1)?.source, "replica");
    await again.cancel(id);
    strictEqual((await endOf(again, id)).state, "cancelled");
    // Each step appears once, although some were computed twice.
    const steps = readJournalSteps(join(harness.home, "runs", id));
    deepStrictEqual(
      steps,
      steps.map((_, i) => i + 1),
    );
    const { id: another } = await again.submit({ yaml: harness.job({ steps: 1 }) });
    strictEqual((await endOf(again, another)).state, "done");
  });

  it("the next coordinator continues from the last checkpoint if the workers ended with theirs", async () => {
    const one = start({ LAPIDARY_WORKER_LEASE: "0" });
    const client = await one.ready(harness.home);
    const { id } = await client.submit({ yaml: harness.job({ steps: endless, more: "checkpoint: { every: 3 }" }) });
    while ((await client.checkpoints(id)).checkpoints.length === 0) await trains(client, id);
    const [, ...workers] = await startedBy(client);
    one.child.kill("SIGKILL");
    await one.ended;
    const again = await start().ready(harness.home);
    await eventOf(again, id, ({ event, data }) => {
      const { run_event } = event === "log" ? data : {};
      return run_event?.type === "state_restored" && run_event.source === "checkpoint";
    });
    deepStrictEqual(aliveOf(workers), []);
    await again.cancel(id);
    strictEqual((await endOf(again, id)).state, "cancelled");
  });

  it("the process exits with code 2 for an invalid lease", async () => {
    const { code, stderr } = await start({ LAPIDARY_WORKER_LEASE: "a while" }).ended;
    deepStrictEqual([code, errorIn(stderr).code, errorIn(stderr).place], [2, "LAP_COORDINATOR_FLAG", "LAPIDARY_WORKER_LEASE"]);
  });
});

const readJournalSteps = (run: string): number[] =>
  readFileSync(join(run, "metrics.jsonl"), "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { kind: string; step: number })
    .flatMap(({ kind, step }) => (kind === "train" ? [step] : []));

const tokenOf = (client: CoordinatorClient): string => new URL(client.pageUrl).searchParams.get("token") ?? "";
