/** Coordinators that die, alone and with all that they started, that end in good order, and that are superseded. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { nodeDisk } from "../../../packages/checkpoint/dist/disk.js";
import { RunFence } from "../../../packages/checkpoint/dist/run-fence.js";
import { isOfType } from "../../../packages/api/dist/run-events.js";
import { until } from "../yard.mjs";
import { committed, finish, launch, reached, signalTo, succeeded } from "./scene.mjs";

/** @typedef {import("./scene.mjs").FaultCase} FaultCase */

/** Where the coordinator may die. */
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
  async run(scene) {
    const { yard } = scene;
    const step = isCheckpointPoint(point) ? 4 + 4 * scene.random.integer(2) : 2 + scene.random.integer(9);
    await launch(scene, { failpoints: `${point}@${step},c:kill` });
    await until("the coordinator's death", () => yard.isDead);
    return succeeded(scene, true);
  },
});

/** @type {FaultCase[]} */
export const coordinatorCases = [
  ...coordinatorPoints.map(coordinatorKilled),
  {
    name: "SIGTERM, then resumed",
    row: "SIGTERM",
    async run(scene) {
      const { yard, id } = scene;
      // The coordinator sleeps behind a step when it is told to end: twelve short steps would be over before anybody else has told it.
      await launch(scene, { failpoints: `after-commit@${2 + scene.random.integer(3)},c:stop` });
      await until("the coordinator's sleep", () => yard.firings().length > 0);
      const ended = yard.end("SIGTERM");
      signalTo(yard.coordinator?.pid, "SIGCONT");
      const code = await ended;
      const saved = readdirSync(join(yard.runDirectory(id), "checkpoints")).length;
      const at = committed(scene);
      await yard.start();
      const { from_step } = await yard.client.resume(id);
      const ending = await finish(scene);
      return {
        ending,
        expect: ({ events }) => {
          const drained = events.filter(isOfType("attempt_ended")).find(({ reason }) => reason === "drained");
          if (!events.some(isOfType("drain_requested")) || drained?.step !== at) return `drained after step ${drained?.step} of ${at}`;
          return code === 0 && saved > 0 && from_step === at
            ? undefined
            : `exit ${code}, ${saved} checkpoints, resumed behind ${from_step} of ${at}`;
        },
      };
    },
  },
  {
    name: "everything killed",
    row: "everything killed",
    async run(scene) {
      const { yard } = scene;
      await launch(scene);
      await reached(scene, 5 + scene.random.integer(5));
      const victims = [...yard.processesOfWorkers(), yard.redisPid()];
      await yard.end("SIGKILL");
      for (const pid of victims) signalTo(pid, "SIGKILL");
      return succeeded(scene, false);
    },
  },
  {
    name: "coordinator killed, and its workers' lease runs out",
    row: "coordinator killed",
    async run(scene) {
      const { yard } = scene;
      await launch(scene, { failpoints: `after-commit@${5 + scene.random.integer(6)},c:kill`, env: { LAPIDARY_WORKER_LEASE: "1" } });
      await until("the coordinator's death", () => yard.isDead);
      await until("the end of its workers", () => yard.processesOfWorkers().length === 0);
      return succeeded(scene, false);
    },
  },
  {
    name: "another attempt takes over the run's files",
    row: "two coordinators",
    async run(scene) {
      const { yard, id } = scene;
      await launch(scene);
      await reached(scene, 3 + scene.random.integer(5));
      const before = committed(scene);
      RunFence.claim(nodeDisk, yard.runDirectory(id));
      const stale = await finish(scene);
      const wrote = committed(scene);
      await yard.client.resume(id);
      const ending = await finish(scene);
      // A commit may have been under way in the moment of the claim.
      return {
        ending,
        expect: ({ events }) => {
          if (!events.some(isOfType("superseded"))) return "no event says that the attempt was superseded";
          return stale.code === "LAP_EPOCH_STALE" && wrote <= before + 4 ? undefined : `${stale.code}; ${before} then ${wrote}`;
        },
      };
    },
  },
];
