/** Workers that die, throw, freeze, hang, are slow, and messages between them that are damaged. */
import { spawn } from "node:child_process";
import { isOfType } from "../../../packages/api/dist/run-events.js";
import { failpointNames } from "../../../packages/std/dist/index.js";
import { pause, until } from "../yard.mjs";
import { coordinatorPoints } from "./coordinators.mjs";
import { finish, firedAt, launch, reached, signalTo } from "./scene.mjs";

/** @typedef {import("./scene.mjs").FaultCase} FaultCase */

/** Where a worker may die: a coordinator comes by none of these. */
const workerPoints = failpointNames.filter((name) => !coordinatorPoints.some((point) => point === name));

/** @typedef {import("../yard.mjs").RunEvent} RunEvent */

/** @param {readonly RunEvent[]} events @param {string} code */
const failedWith = (events, code) => events.filter(isOfType("attempt_failed")).some(({ error }) => error.code === code);

/** @param {readonly RunEvent[]} events @param {string} reason */
const evictedFor = (events, reason) => events.filter(isOfType("worker_evicted")).some((event) => event.reason === reason);

/** @param {string} point @returns {FaultCase} */
const workerKilled = (point) => ({
  name: `worker killed at ${point}`,
  row: "worker killed",
  async run(scene) {
    const step = point === "plan-received" ? 1 : point === "snapshot-copy" ? 2 : 3 + scene.random.integer(8);
    // The state is not copied behind every step.
    const when = point === "snapshot-copy" ? `${step}+` : String(step);
    await launch(scene, { failpoints: `${point}@${when},${scene.random.integer(2)}:kill` });
    const ending = await finish(scene);
    return { ending, fired_ms: firedAt(scene) };
  },
});

/** @param {"reduce-scatter" | "all-gather"} collective @param {"shared memory" | "a socket"} way @returns {FaultCase} */
const messageFlipped = (collective, way) => ({
  name: `bit flipped in a message of ${collective} through ${way}`,
  row: "frame flipped, torn, duplicated, reordered on the wire",
  async run(scene) {
    const failpoints = `${collective}-chunk-sent@${3 + scene.random.integer(8)},${scene.random.integer(2)}:corrupt`;
    await launch(scene, { failpoints, env: way === "a socket" ? { LAPIDARY_SHARED_MEMORY: "off" } : {} });
    const ending = await finish(scene);
    const code = way === "a socket" ? "LAP_FABRIC_DAMAGED" : "LAP_WORKER_MESSAGE";
    return {
      ending,
      fired_ms: firedAt(scene),
      mustFire: 1,
      expect: ({ events }) => (failedWith(events, code) ? undefined : "nobody noticed the damage"),
    };
  },
});

/** @param {"tear" | "repeat" | "swap"} damage @param {string} what @returns {FaultCase} */
const frameDamaged = (damage, what) => ({
  name: `frame ${what} between two workers, through a socket`,
  row: "frame flipped, torn, duplicated, reordered on the wire",
  async run(scene) {
    const collective = ["reduce-scatter", "all-gather"][scene.random.integer(2)];
    const failpoints = `${collective}-chunk-sent@${3 + scene.random.integer(8)},${scene.random.integer(2)}:${damage}`;
    await launch(scene, { failpoints, env: { LAPIDARY_SHARED_MEMORY: "off" } });
    const ending = await finish(scene);
    return {
      ending,
      fired_ms: firedAt(scene),
      mustFire: 1,
      expect: ({ events }) => (failedWith(events, "LAP_FABRIC_DAMAGED") ? undefined : "nobody noticed the damage"),
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
  frameDamaged("tear", "torn"),
  frameDamaged("repeat", "repeated"),
  frameDamaged("swap", "overtaken by the next"),
  {
    name: "worker throws in the middle of a step",
    row: "worker killed",
    async run(scene) {
      await launch(scene, {
        failpoints: `${["forward", "backward-middle", "mid-apply", "after-apply"][scene.random.integer(4)]}@${3 + scene.random.integer(8)},${scene.random.integer(2)}:throw`,
      });
      return { ending: await finish(scene), fired_ms: firedAt(scene) };
    },
  },
  {
    name: "two neighbours at once",
    row: "two neighbours at once",
    async run(scene) {
      await launch(scene);
      await reached(scene, 5 + scene.random.integer(3));
      const pids = await scene.yard.workerPids(scene.id);
      const fired_ms = Date.now();
      for (const pid of pids) signalTo(pid, "SIGKILL");
      return { ending: await finish(scene), fired_ms };
    },
  },
  {
    name: "killed again during recovery",
    row: "killed again during recovery",
    async run(scene) {
      await launch(scene);
      await reached(scene, 5);
      const before = await scene.yard.workerPids(scene.id);
      const fired_ms = Date.now();
      signalTo(before[scene.random.integer(before.length)], "SIGKILL");
      await until("the next gang", async () => {
        const pids = await scene.yard.workerPids(scene.id);
        const fresh = pids.find((pid) => !before.includes(pid));
        if (fresh === undefined) return false;
        signalTo(fresh, "SIGKILL");
        return true;
      });
      return {
        ending: await finish(scene),
        fired_ms,
        expect: ({ goodput }) => (goodput.failures >= 2 ? undefined : `it failed ${goodput.failures} times`),
      };
    },
  },
  {
    name: "same step fails three times",
    row: "same step fails three times",
    expected: "stops, exit 100, and names the batch",
    async run(scene) {
      const step = 4 + scene.random.integer(6);
      const worker = scene.random.integer(2);
      await launch(scene, { failpoints: `before-vote@${step},${worker}:throw*3` });
      const ending = await finish(scene);
      const right = ending.state === "failed" && ending.code === "LAP_STEP_FAILS" && ending.message.includes(`step ${step} `);
      return { ending, expect: () => (right ? undefined : `${ending.state} ${ending.code} ${ending.message}`), note: "stops" };
    },
  },
  {
    name: "worker frozen",
    row: "worker frozen 10 s",
    async run(scene) {
      await launch(scene, { failpoints: `backward-middle@${3 + scene.random.integer(8)},${scene.random.integer(2)}:stop` });
      const ending = await finish(scene);
      return {
        ending,
        fired_ms: firedAt(scene),
        expect: ({ events }) => (evictedFor(events, "no_heartbeat") ? undefined : "nobody noticed that it was frozen"),
      };
    },
  },
  {
    name: "worker hangs",
    row: "all workers alive, none answers",
    async run(scene) {
      const failpoints = `backward-middle@${3 + scene.random.integer(8)},${scene.random.integer(2)}:hang`;
      await launch(scene, { failpoints, more: { more: "stall_timeout_s: 3" } });
      const ending = await finish(scene);
      return {
        ending,
        fired_ms: firedAt(scene),
        expect: ({ events }) => (evictedFor(events, "no_answer") ? undefined : "nobody noticed that it hung"),
      };
    },
  },
  {
    name: "straggler: a worker that stands still most of the time",
    row: "straggler",
    async run(scene) {
      const { yard, id, random } = scene;
      const found = async () => (await yard.events(id)).events.some(isOfType("straggler_found"));
      // The coordinator sleeps behind the first step until the worker is stopped: on a quiet machine twelve steps would be over before.
      const client = await launch(scene, { failpoints: "after-commit@1,c:stop" });
      await until("the coordinator's sleep", () => yard.firings().length > 0);
      // It cannot be asked who works for the job now; the journal has it.
      const group = (await yard.events(id)).events.filter(isOfType("worker_group_started")).at(-1);
      const pid = group?.workers[random.integer(2)]?.pid;
      const over = async () => (await client.get(id)).finished_at !== undefined || (await found());
      signalTo(pid, "SIGSTOP");
      signalTo(yard.coordinator?.pid, "SIGCONT");
      for (let isOver = false; !isOver; ) {
        signalTo(pid, "SIGSTOP");
        await pause(150);
        // Asked while it stands still: what it may do between two stops is less than a step.
        isOver = await over();
        signalTo(pid, "SIGCONT");
        await pause(5);
      }
      return {
        ending: await finish(scene),
        expect: ({ events, goodput }) => {
          const flagged = events.some(isOfType("straggler_found"));
          return flagged && goodput.failures === 0 ? undefined : `flagged: ${flagged}, failures: ${goodput.failures}`;
        },
      };
    },
  },
  {
    name: "CPU starved: twelve other processes want it",
    row: "CPU starved",
    async run(scene) {
      const hogs = Array.from({ length: 12 }, () => spawn(process.execPath, ["-e", "for(;;);"], { stdio: "ignore" }));
      try {
        await launch(scene);
        return {
          ending: await finish(scene),
          expect: ({ goodput }) => (goodput.failures === 0 ? undefined : "a worker that was only slow was given up"),
        };
      } finally {
        for (const hog of hogs) hog.kill("SIGKILL");
      }
    },
  },
];
