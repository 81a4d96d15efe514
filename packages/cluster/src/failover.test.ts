import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { connect } from "@lapidary/fabric";
import { ensure } from "@lapidary/std";
import { controlLimits, epochOf, handleOf, stepIndex, updateCount } from "@lapidary/protocol";
import { isProcessAlive } from "@lapidary/std/process-id";
import { WorkerGroup } from "./worker-group.js";
import { counter, counts, mesh } from "./testing/counter.js";
import { WorkerPool, type WorkerPoolOptions } from "./worker-pool.js";
import { orphanedWorkers, writeRegistry } from "@lapidary/api/worker-registry";

interface Held {
  readonly pids: readonly number[];
  readonly directory: string;
  readonly step: number;
}

/** A process that has a pool, and that the test kills. */
class Holder {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(...args: string[]) {
    const child = spawn(process.execPath, [fileURLToPath(new URL("./testing/pool-holder.js", import.meta.url)), ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.process = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async held(): Promise<Held> {
    return JSON.parse(ensure((await this.#lines.next()).value as string | undefined, "line")) as Held;
  }

  /** Computes one more update. */
  count(): Promise<Held> {
    this.process.stdin?.write("\n");
    return this.held();
  }

  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await once(this.process, "exit");
  }
}

const gone = async (pids: readonly number[]): Promise<void> => {
  while (pids.some(isProcessAlive)) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe("workers whose coordinator is killed", function () {
  this.timeout(60_000);
  let directory: string;
  let pool: WorkerPool | undefined;
  let holder: Holder | undefined;
  let errors: Error[];
  const registry = (): string => join(directory, "workers.json");
  const hold = async (lease: string): Promise<Held> => {
    holder = new Holder(directory, lease);
    return holder.held();
  };
  const succeed = async (isActive: (run: string) => boolean = () => true, more: Partial<WorkerPoolOptions> = {}): Promise<WorkerPool> => {
    pool = await WorkerPool.start({
      environment: process.env,
      warm: 2,
      directory,
      failover: { registry: registry(), lease_s: 0, isActive, onError: (error) => errors.push(error) },
      ...more,
    });
    return pool;
  };
  const groupOf = (runId: string, epoch: number): Promise<WorkerGroup> =>
    WorkerGroup.start(ensure(pool, "pool"), { runId, epoch: epochOf(epoch), mesh, workers: 2 });

  beforeEach(() => {
    errors = [];
    directory = mkdtempSync(join(tmpdir(), "lapidary-failover-"));
  });
  afterEach(async () => {
    await pool?.close();
    if (holder?.process.exitCode === null && holder.process.signalCode === null) await holder.kill();
    for (const { pid } of orphanedWorkers(registry()).workers) process.kill(pid, "SIGKILL");
    [pool, holder] = [undefined, undefined];
    rmSync(directory, { recursive: true, force: true });
  });

  it("workers end with their coordinator if no failover is configured", async () => {
    holder = new Holder();
    const { pids, directory: own } = await holder.held();
    ok(pids.every(isProcessAlive), "the workers are there");
    await holder.kill();
    await gone(pids);
    rmSync(own, { recursive: true });
  });

  it("workers end when their lease expires", async () => {
    const { pids } = await hold("0.3");
    await holder?.kill();
    await gone(pids);
    await succeed();
    ok((await pool?.acquire(2))?.every(({ pid }) => !pids.includes(pid)));
  });

  it("the next pool takes workers over with their ranks and replicas, under a later epoch alone", async () => {
    const { pids } = await hold("60");
    await holder?.kill();
    const lines: string[] = [];
    await succeed(undefined, { log: (_, line) => lines.push(line) });
    await rejects(groupOf("r", 5), { code: "LAP_WORKER_STALE" });
    const group = await groupOf("r", 6);
    deepStrictEqual(group.pids, pids);
    // No worker ended, and none was started.
    strictEqual(pool?.pids.length, 2);
    const program = await group.load({ chip: counter() });
    const state = [group.parameter(program, "s")];
    // The replica after the third update does not count, because the step log has two updates.
    strictEqual(await group.restoreReplicas(updateCount(2), state), 2);
    deepStrictEqual([...(await group.fetch(handleOf("s"))).data], Array(8).fill(2));
    await group.run(group.bind(program, counts), { step: stepIndex(2) });
    deepStrictEqual([...(await group.fetch(handleOf("s"))).data], Array(8).fill(3));
    // Log lines of a worker that was taken over arrive here, with the run and rank of its replicas.
    const held = lines.map((line) => (JSON.parse(line) as { holds?: unknown }).holds).filter((holds) => holds !== undefined);
    deepStrictEqual(
      held.sort((a, b) => (a as { worker: number }).worker - (b as { worker: number }).worker),
      [0, 1].map((worker) => ({ run: "r", worker })),
    );
    await group.close();
  });

  it("workers are reserved for the run whose replicas they have while the run is active", async () => {
    const { pids } = await hold("60");
    await holder?.kill();
    await succeed((run) => run === "r");
    const other = await groupOf("another", 1);
    ok(other.pids.every((pid) => !pids.includes(pid)));
    strictEqual(new Set(other.names).size, 2);
    const group = await groupOf("r", 6);
    deepStrictEqual(group.pids, pids);
    ok(other.names.every((name) => !group.names.includes(name)));
    await other.close();
    await group.close();
  });

  it("workers are free for any run after their run has ended", async () => {
    const { pids } = await hold("60");
    await holder?.kill();
    await succeed(() => false);
    const group = await groupOf("another", 1);
    deepStrictEqual([...group.pids].sort(), [...pids].sort());
    await group.close();
  });

  it("the pool replaces workers that do not connect to the next coordinator", async () => {
    const { pids } = await hold("60");
    const frozen = ensure(pids[1], "pid");
    process.kill(frozen, "SIGSTOP");
    await holder?.kill();
    await succeed();
    const group = await groupOf("r", 6);
    strictEqual(group.pids[0], pids[0]);
    ok(!isProcessAlive(frozen));
    await group.close();
  });

  it("a pool of another build ends the workers", async () => {
    const { pids } = await hold("60");
    await holder?.kill();
    writeFileSync(registry(), readFileSync(registry(), "utf8").replace(/"protocol":\d+/, '"protocol":0'));
    await succeed();
    await gone(pids);
    ok((await pool?.acquire(2))?.every(({ pid }) => !pids.includes(pid)));
  });

  it("workers stay with a coordinator that is only suspended, and no other pool can take its place", async () => {
    const { pids } = await hold("60");
    holder?.process.kill("SIGSTOP");
    await rejects(succeed(), { code: "LAP_FABRIC_ADDRESS" });
    holder?.process.kill("SIGCONT");
    const { pids: same, step } = ensure(await holder?.count(), "answer");
    deepStrictEqual([same, step], [pids, 4]);
  });

  it("the pool ignores registered pids that are not a process", async () => {
    const none = [0, -1].map((pid, i) => ({ name: `w${i}`, pid, started: "", numerics: "f32" as const }));
    writeRegistry(registry(), none);
    deepStrictEqual(orphanedWorkers(registry()), { workers: [], incompatible: [] });
  });

  it("the next pool does not know the workers if the registry cannot be written, which is reported and stops nothing", async () => {
    mkdirSync(registry());
    await succeed();
    strictEqual((await pool?.acquire(2))?.length, 2);
    ok(errors.length > 0);
    rmSync(registry(), { recursive: true });
  });

  it("the pool accepts connections from its workers alone", async () => {
    await succeed();
    const incompatible = await connect(join(directory, "pool"), { hello: { name: "w0", pid: process.pid }, limits: controlLimits });
    strictEqual((await incompatible.closed).kind, "closed");
  });
});
