/** Workers that are killed, throw, are suspended, hang or are slow, and damaged messages between workers. */
import { spawn } from "node:child_process";
import { isOfType } from "../../../packages/api/dist/run-events.js";
import { failpointNames } from "../../../packages/std/dist/index.js";
import { sleep, waitFor } from "../test-cluster.mjs";
import { coordinatorPoints } from "./coordinators.mjs";
import { finish, firedAt, launch, reached, signalTo } from "./context.mjs";

/** @typedef {import("./context.mjs").FaultCase} FaultCase */

/** The failpoints that only a worker passes. */
const workerPoints = failpointNames.filter((name) => !coordinatorPoints.some((point) => point === name));

/** @typedef {import("../test-cluster.mjs").RunEvent} RunEvent */

/** @param {readonly RunEvent[]} events @param {string} code */
const failedWith = (events, code) => events.filter(isOfType("attempt_failed")).some(({ error }) => error.code === code);

/** @param {readonly RunEvent[]} events @param {string} reason */
const evictedFor = (events, reason) => events.filter(isOfType("worker_evicted")).some((event) => event.reason === reason);

/** @param {string} point @returns {FaultCase} */
const workerKilled = (point) => ({
  name: `worker killed at ${point}`,
  row: "worker killed",
  async run(context) {
    const step = point === "plan-received" ? 1 : point === "snapshot-copy" ? 2 : 3 + context.random.integer(8);
    // The state is not replicated after every step.
    const when = point === "snapshot-copy" ? `${step}+` : String(step);
    await launch(context, { failpoints: `${point}@${when},${context.random.integer(2)}:kill` });
    const result = await finish(context);
    return { result, fired_ms: firedAt(context) };
  },
});

/** @param {"reduce-scatter" | "all-gather"} collective @param {"shared memory" | "a socket"} way @returns {FaultCase} */
const messageFlipped = (collective, way) => ({
  name: `bit flipped in a message of ${collective} through ${way}`,
  row: "frame flipped, torn, duplicated, reordered on the wire",
  async run(context) {
    const failpoints = `${collective}-chunk-sent@${3 + context.random.integer(8)},${context.random.integer(2)}:corrupt`;
    await launch(context, { failpoints, env: way === "a socket" ? { LAPIDARY_SHARED_MEMORY: "off" } : {} });
    const result = await finish(context);
    const code = way === "a socket" ? "LAP_FABRIC_DAMAGED" : "LAP_WORKER_MESSAGE";
    return {
      result,
      fired_ms: firedAt(context),
      minFirings: 1,
      expect: ({ events }) => (failedWith(events, code) ? undefined : "the damage was not detected"),
    };
  },
});

/** @param {"truncate" | "duplicate" | "reorder"} damage @param {string} what @returns {FaultCase} */
const frameDamaged = (damage, what) => ({
  name: `frame ${what} between two workers, through a socket`,
  row: "frame flipped, torn, duplicated, reordered on the wire",
  async run(context) {
    const collective = ["reduce-scatter", "all-gather"][context.random.integer(2)];
    const failpoints = `${collective}-chunk-sent@${3 + context.random.integer(8)},${context.random.integer(2)}:${damage}`;
    await launch(context, { failpoints, env: { LAPIDARY_SHARED_MEMORY: "off" } });
    const result = await finish(context);
    return {
      result,
      fired_ms: firedAt(context),
      minFirings: 1,
      expect: ({ events }) => (failedWith(events, "LAP_FABRIC_DAMAGED") ? undefined : "the damage was not detected"),
    };
  },
});

/** @type {FaultCase[]} */
export const workerCases = [
  ...workerPoints.map(workerKilled),
  ...[/** @type {const} */ ("shared memory"), /** @type {const} */ ("a socket")].flatMap((way) => [
    messageFlipped("reduce-scatter", way),
    messageFlipped("all-gather", way),
  ]),
  frameDamaged("truncate", "truncated"),
  frameDamaged("duplicate", "duplicated"),
  frameDamaged("reorder", "reordered"),
  {
    name: "worker throws in the middle of a step",
    row: "worker killed",
    async run(context) {
      await launch(context, {
        failpoints: `${["forward", "backward-middle", "mid-apply", "after-apply"][context.random.integer(4)]}@${3 + context.random.integer(8)},${context.random.integer(2)}:throw`,
      });
      return { result: await finish(context), fired_ms: firedAt(context) };
    },
  },
  {
    name: "two neighbours at once",
    row: "two neighbours at once",
    async run(context) {
      await launch(context);
      await reached(context, 5 + context.random.integer(3));
      const pids = await context.cluster.workerPids(context.id);
      const fired_ms = Date.now();
      for (const pid of pids) signalTo(pid, "SIGKILL");
      return { result: await finish(context), fired_ms };
    },
  },
  {
    name: "killed again during recovery",
    row: "killed again during recovery",
    async run(context) {
      await launch(context);
      await reached(context, 5);
      const before = await context.cluster.workerPids(context.id);
      const fired_ms = Date.now();
      signalTo(before[context.random.integer(before.length)], "SIGKILL");
      await waitFor("the next worker group", async () => {
        const pids = await context.cluster.workerPids(context.id);
        const fresh = pids.find((pid) => !before.includes(pid));
        if (fresh === undefined) return false;
        signalTo(fresh, "SIGKILL");
        return true;
      });
      return {
        result: await finish(context),
        fired_ms,
        expect: ({ goodput }) => (goodput.failures >= 2 ? undefined : `${goodput.failures} failures, expected at least 2`),
      };
    },
  },
  {
    name: "same step fails three times",
    row: "same step fails three times",
    expected: "stops, exit 100, and names the batch",
    async run(context) {
      const step = 4 + context.random.integer(6);
      const worker = context.random.integer(2);
      await launch(context, { failpoints: `before-vote@${step},${worker}:throw*3` });
      const result = await finish(context);
      const right = result.state === "failed" && result.code === "LAP_STEP_FAILS" && result.message.includes(`step ${step} `);
      return { result, expect: () => (right ? undefined : `${result.state} ${result.code} ${result.message}`), note: "stops" };
    },
  },
  {
    name: "worker frozen",
    row: "worker frozen 10 s",
    async run(context) {
      await launch(context, { failpoints: `backward-middle@${3 + context.random.integer(8)},${context.random.integer(2)}:suspend` });
      const result = await finish(context);
      return {
        result,
        fired_ms: firedAt(context),
        expect: ({ events }) => (evictedFor(events, "no_heartbeat") ? undefined : "the suspended worker was not detected"),
      };
    },
  },
  {
    name: "worker hangs",
    row: "all workers alive, none answers",
    async run(context) {
      const failpoints = `backward-middle@${3 + context.random.integer(8)},${context.random.integer(2)}:hang`;
      await launch(context, { failpoints, more: { more: "stall_timeout_s: 3" } });
      const result = await finish(context);
      return {
        result,
        fired_ms: firedAt(context),
        expect: ({ events }) => (evictedFor(events, "no_answer") ? undefined : "the worker that hangs was not detected"),
      };
    },
  },
  {
    name: "straggler: a worker that is suspended most of the time",
    row: "straggler",
    async run(context) {
      const { cluster, id, random } = context;
      const found = async () => (await cluster.events(id)).events.some(isOfType("straggler_found"));
      // The failpoint suspends the coordinator after the first step: on an idle machine twelve steps would be over before the worker is suspended.
      const client = await launch(context, { failpoints: "after-commit@1,c:suspend" });
      await waitFor("the suspension of the coordinator", () => cluster.firings().length > 0);
      // A suspended coordinator answers no request, so the journal names the workers.
      const group = (await cluster.events(id)).events.filter(isOfType("worker_group_started")).at(-1);
      const pid = group?.workers[random.integer(2)]?.pid;
      const over = async () => (await client.get(id)).finished_at !== undefined || (await found());
      signalTo(pid, "SIGSTOP");
      signalTo(cluster.coordinator?.pid, "SIGCONT");
      for (let isOver = false; !isOver; ) {
        signalTo(pid, "SIGSTOP");
        await sleep(150);
        // Checked while the worker is suspended: between two suspensions it computes less than a step.
        isOver = await over();
        signalTo(pid, "SIGCONT");
        await sleep(5);
      }
      return {
        result: await finish(context),
        expect: ({ events, goodput }) => {
          const flagged = events.some(isOfType("straggler_found"));
          return flagged && goodput.failures === 0 ? undefined : `flagged: ${flagged}, failures: ${goodput.failures}`;
        },
      };
    },
  },
  {
    name: "CPU starved: twelve other processes compute",
    row: "CPU starved",
    async run(context) {
      const busyProcesses = Array.from({ length: 12 }, () => spawn(process.execPath, ["-e", "for(;;);"], { stdio: "ignore" }));
      try {
        await launch(context);
        return {
          result: await finish(context),
          expect: ({ goodput }) => (goodput.failures === 0 ? undefined : "a worker that was only slow was evicted"),
        };
      } finally {
        for (const busyProcess of busyProcesses) busyProcess.kill("SIGKILL");
      }
    },
  },
];
