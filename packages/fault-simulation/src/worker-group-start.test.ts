import { strictEqual } from "node:assert/strict";
import { WorkerGroup, WorkerPool } from "@lapidary/cluster";
import { epochOf } from "@lapidary/protocol";
import { ensure, LapidaryError, seededRandom } from "@lapidary/std";
import { SimDisk } from "./sim-disk.js";
import { SimMachine } from "./sim-machine.js";
import { SimNetwork } from "./sim-network.js";
import { simPrograms } from "./sim-programs.js";
import { VirtualTime } from "./virtual-time.js";

/** A pool of a coordinator process on a simulated machine. */
function simulatedPool(): { readonly time: VirtualTime; readonly machine: SimMachine; readonly pool: Promise<WorkerPool> } {
  const time = new VirtualTime(seededRandom(1));
  const faults = { fails: () => false, readCost_ms: 0, run_ms: 5 };
  const machine = new SimMachine(time, new SimNetwork(time), new SimDisk(time), faults);
  const thread = machine.startProcess("coordinator").thread();
  const failover = { registry: "/home/workers.json", lease_s: 0, isActive: () => true, onError: () => undefined };
  const pool = WorkerPool.start({
    environment: {},
    warm: 0,
    directory: "/home",
    host: machine.hostFor(thread),
    failover,
    startTimeoutMs: 30_000,
  });
  return { time, machine, pool };
}

/** The outcome of `work` within a virtual time: the code of its error, or `resolved`, or `pending`. */
async function outcomeOf(time: VirtualTime, work: Promise<unknown>, limit_ms: number): Promise<string> {
  let outcome: string | undefined;
  work.then(
    () => (outcome = "resolved"),
    (error: unknown) => (outcome = error instanceof LapidaryError ? error.code : String(error)),
  );
  await time.run(() => outcome !== undefined, limit_ms);
  return outcome ?? "pending";
}

describe("the start of a worker group on a simulated machine", () => {
  it("a worker group whose workers live starts", async () => {
    const { time, pool } = simulatedPool();
    const started = pool.then((ready) =>
      WorkerGroup.start(ready, { runId: "r", epoch: epochOf(1), mesh: simPrograms(3).mesh, workers: 3 }),
    );
    strictEqual(await outcomeOf(time, started, 5000), "resolved");
  });

  it("the start fails soon if one worker hangs and another dies while the workers join", async () => {
    const { time, machine, pool } = simulatedPool();
    const started = pool.then((ready) =>
      WorkerGroup.start(ready, { runId: "r", epoch: epochOf(1), mesh: simPrograms(3).mesh, workers: 3 }),
    );
    // All workers have loaded their kernels, and join.
    await time.run(() => machine.network.listeners.some((path) => path.includes("/g")), 5000);
    const [first, second] = machine.living;
    ensure(first, "worker").main.hang(3_600_000);
    ensure(second, "worker").process.kill();
    strictEqual(await outcomeOf(time, started, 20_000), "LAP_WORKER_LOST");
  });

  it("a worker that does not load its kernels in time is evicted, and the start fails", async () => {
    const { time, machine, pool } = simulatedPool();
    const started = pool.then((ready) =>
      WorkerGroup.start(ready, { runId: "r", epoch: epochOf(1), mesh: simPrograms(2).mesh, workers: 2 }),
    );
    await time.run(() => machine.living.length === 2, 5000);
    ensure(machine.living[0], "worker").main.hang(3_600_000);
    strictEqual(await outcomeOf(time, started, 40_000), "LAP_WORKER_START");
  });
});
