/** Coordinators that are killed, alone or with all their processes, that shut down cleanly, and that are superseded. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { nodeDisk } from "../../../packages/checkpoint/dist/disk.js";
import { RunFence } from "../../../packages/checkpoint/dist/run-fence.js";
import { isOfType } from "../../../packages/api/dist/run-events.js";
import { waitFor } from "../test-cluster.mjs";
import { committed, finish, launch, reached, signalTo, restartCoordinator } from "./context.mjs";

/** @typedef {import("./context.mjs").FaultCase} FaultCase */

/** The failpoints that a coordinator passes. */
export const coordinatorPoints = /** @type {const} */ ([
  "before-commit",
  "after-commit",
  "shard-half-written",
  "shard-synced",
  "before-manifest",
  "after-manifest",
]);

const isCheckpointPoint = (/** @type {string} */ name) => name.startsWith("shard-") || name.endsWith("-manifest");

/** @param {string} point @returns {FaultCase} */
const coordinatorKilled = (point) => ({
  name: `coordinator killed at ${point}`,
  row: "coordinator killed",
  async run(context) {
    const { cluster } = context;
    const step = isCheckpointPoint(point) ? 4 + 4 * context.random.integer(2) : 2 + context.random.integer(9);
    await launch(context, { failpoints: `${point}@${step},c:kill` });
    await waitFor("the exit of the coordinator", () => cluster.isDead);
    return restartCoordinator(context, true);
  },
});

/** @type {FaultCase[]} */
export const coordinatorCases = [
  ...coordinatorPoints.map(coordinatorKilled),
  {
    name: "SIGTERM, then resumed",
    row: "SIGTERM",
    async run(context) {
      const { cluster, id } = context;
      // The failpoint suspends the coordinator after a step: otherwise the twelve short steps could be over before SIGTERM arrives.
      await launch(context, { failpoints: `after-commit@${2 + context.random.integer(3)},c:suspend` });
      await waitFor("the suspension of the coordinator", () => cluster.firings().length > 0);
      const ended = cluster.end("SIGTERM");
      signalTo(cluster.coordinator?.pid, "SIGCONT");
      const code = await ended;
      const saved = readdirSync(join(cluster.runDirectory(id), "checkpoints")).length;
      const at = committed(context);
      await cluster.start();
      const { from_step } = await cluster.client.resume(id);
      const result = await finish(context);
      return {
        result,
        expect: ({ events }) => {
          const drained = events.filter(isOfType("attempt_ended")).find(({ reason }) => reason === "drained");
          if (!events.some(isOfType("drain_requested")) || drained?.step !== at) return `drained after step ${drained?.step} of ${at}`;
          return code === 0 && saved > 0 && from_step === at
            ? undefined
            : `exit ${code}, ${saved} checkpoints, resumed after step ${from_step} of ${at}`;
        },
      };
    },
  },
  {
    name: "everything killed",
    row: "everything killed",
    async run(context) {
      const { cluster } = context;
      await launch(context);
      await reached(context, 5 + context.random.integer(5));
      const victims = [...cluster.processesOfWorkers(), cluster.redisPid()];
      await cluster.end("SIGKILL");
      for (const pid of victims) signalTo(pid, "SIGKILL");
      return restartCoordinator(context, false);
    },
  },
  {
    name: "coordinator killed, and its workers' lease runs out",
    row: "coordinator killed",
    async run(context) {
      const { cluster } = context;
      await launch(context, { failpoints: `after-commit@${5 + context.random.integer(6)},c:kill`, env: { LAPIDARY_WORKER_LEASE: "1" } });
      await waitFor("the exit of the coordinator", () => cluster.isDead);
      await waitFor("the exit of its workers", () => cluster.processesOfWorkers().length === 0);
      return restartCoordinator(context, false);
    },
  },
  {
    name: "another attempt takes over the run's files",
    row: "two coordinators",
    async run(context) {
      const { cluster, id } = context;
      await launch(context);
      await reached(context, 3 + context.random.integer(5));
      const before = committed(context);
      RunFence.claim(nodeDisk, cluster.runDirectory(id));
      const stale = await finish(context);
      const wrote = committed(context);
      await cluster.client.resume(id);
      const result = await finish(context);
      // A commit may have been in flight when the other attempt claimed the run.
      return {
        result,
        expect: ({ events }) => {
          if (!events.some(isOfType("superseded"))) return "no event says that the attempt was superseded";
          return stale.code === "LAP_EPOCH_STALE" && wrote <= before + 4 ? undefined : `${stale.code}; ${before} then ${wrote}`;
        },
      };
    },
  },
];
