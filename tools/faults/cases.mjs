/**
 * The table of faults: what is done to real processes, disks and Redis, and what must have become of the job. Each case gets a seed, which chooses
 * whom and when; the oracle is the run of the same job to which nothing was done.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { nodeDisk } from "../../packages/coordinator/dist/checkpoints/disk.js";
import { RunFence } from "../../packages/coordinator/dist/checkpoints/run-fence.js";
import { seededRandom } from "../../packages/std/dist/index.js";
import { pause, until } from "./yard.mjs";

/** @typedef {import("./yard.mjs").Yard} Yard */
/** @typedef {import("./yard.mjs").Ending} Ending */
/**
 * @typedef {{ readonly yard: Yard, readonly seed: number, readonly random: import("../../packages/std/dist/index.js").Random, readonly quiet: Ending, readonly id: string }} Scene
 * @typedef {{ readonly ending: Ending, readonly fired_ms?: number | undefined, readonly resumed_ms?: number | undefined, readonly expect?: (ending: Ending) => string | undefined, readonly note?: string, readonly mustFire?: number, readonly steps_replayed?: number | undefined }} Happened
 * @typedef {{ readonly name: string, readonly row: string, readonly expected?: string, readonly needsRoot?: boolean, readonly needsWeather?: boolean, readonly run: (scene: Scene) => Promise<Happened> }} FaultCase
 */

export const steps = 12;

/** Where a worker may die. */
export const workerPoints = /** @type {const} */ ([
  "plan-received",
  "forward",
  "backward-middle",
  "reduce-scatter-chunk-sent",
  "reduce-scatter-chunk-received",
  "all-gather-chunk-sent",
  "all-gather-chunk-received",
  "before-vote",
  "after-vote",
  "mid-apply",
  "after-apply",
  "snapshot-copy",
]);

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

/** @param {Scene} scene @param {{ failpoints?: string, more?: any, env?: Record<string, string> }} options */
async function launch({ yard, id }, { failpoints = "", more = {}, env = {} } = {}) {
  const client = await yard.start({ failpoints, env });
  await client.submit({ yaml: yard.jobFile({ steps, ...more }), name: id });
  return client;
}

/** @param {Scene} scene @param {number} step */
const reached = ({ yard, id }, step) =>
  until(`step ${step}`, async () => {
    const job = await yard.client.get(id);
    if (job.finished_at !== undefined) throw new Error(`the job ended before step ${step}: ${job.state} ${job.error?.message ?? ""}`);
    return job.step >= step;
  });

/** @param {Scene} scene */
const firedAt = ({ yard }) => yard.firings().at(-1)?.time;

/** @param {Scene} scene */
async function finish(scene) {
  return scene.yard.ending(scene.id);
}

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

/**
 * Another coordinator takes the place of one that is dead.
 * @param {Scene} scene @param {boolean} remembered whether it must go on from the workers' memory @returns {Promise<Happened>}
 */
async function succeeded(scene, remembered) {
  const { yard, id } = scene;
  const before = committed(scene);
  const began = Date.now();
  await yard.start();
  const resumed_ms = await until("a new step", async () => {
    const job = await yard.client.get(id);
    return (job.step > before || job.finished_at !== undefined) && Date.now() - began;
  });
  const ending = await finish(scene);
  const goesOn = ending.logs.find(({ time, line }) => time >= began && line.includes("goes on behind step"))?.line ?? "it does not go on";
  const from = Number(/behind step (\d+)/.exec(goesOn)?.[1]);
  return {
    ending,
    resumed_ms,
    steps_replayed: before - from,
    expect: () => (goesOn.includes("from the workers' memory") === remembered ? undefined : goesOn),
  };
}

/** @param {Scene} scene */
function committed({ yard, id }) {
  const path = join(yard.runDirectory(id), "ledger.jsonl");
  const steps_ = existsSync(path) ? [...readFileSync(path, "utf8").matchAll(/^\{"step":(\d+)/gm)].map(([, step]) => Number(step)) : [];
  return Math.max(0, ...steps_);
}

/** @param {number} pid @param {NodeJS.Signals} signal */
function signalTo(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (/** @type {any} */ (error).code !== "ESRCH") throw error;
  }
}

/**
 * One command to the private Redis.
 * @param {Yard} yard @param {readonly string[]} words
 */
export function redis(yard, words) {
  return new Promise((resolve, reject) => {
    const path = readFileSync(`/proc/${yard.redisPid()}/cmdline`, "utf8").split("\0");
    // The server names its socket in its title.
    const socket =
      path.map((part) => /unixsocket:(\S+)/.exec(part)?.[1] ?? (part.endsWith(".sock") ? part : undefined)).find(Boolean) ??
      join(yard.home, "redis/redis.sock");
    const connection = connect(socket, () =>
      connection.write(`*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`),
    );
    connection.once("data", (data) => {
      connection.destroy();
      resolve(data.toString());
    });
    connection.once("error", reject);
  });
}

/** @param {"reduce-scatter" | "all-gather"} collective @param {"shared memory" | "a socket"} way @returns {FaultCase} */
const messageFlipped = (collective, way) => ({
  name: `bit flipped in a message of ${collective} through ${way}`,
  row: "frame flipped, torn, duplicated, reordered on the wire",
  async run(scene) {
    const failpoints = `${collective}-chunk-sent@${3 + scene.random.integer(8)},${scene.random.integer(2)}:corrupt`;
    await launch(scene, { failpoints, env: way === "a socket" ? { LAPIDARY_SHARED_MEMORY: "off" } : {} });
    const ending = await finish(scene);
    const said = way === "a socket" ? /damaged on its way/ : /damaged in shared memory/;
    return {
      ending,
      fired_ms: firedAt(scene),
      mustFire: 1,
      expect: ({ logs }) => (logs.some(({ line }) => said.test(line)) ? undefined : "nobody noticed the damage"),
    };
  },
});

/** @type {FaultCase[]} */
export const faultCases = [
  ...workerPoints.map(workerKilled),
  ...coordinatorPoints.map(coordinatorKilled),
  ...[/** @type {const} */ ("shared memory"), /** @type {const} */ ("a socket")].flatMap((way) => [
    messageFlipped("reduce-scatter", way),
    messageFlipped("all-gather", way),
  ]),
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
      signalTo(before[scene.random.integer(before.length)] ?? 0, "SIGKILL");
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
        expect: ({ logs }) => (logs.some(({ line }) => line.includes("was frozen")) ? undefined : "nobody noticed that it was frozen"),
      };
    },
  },
  {
    name: "worker hangs",
    row: "all workers alive, none answers",
    async run(scene) {
      const failpoints = `backward-middle@${3 + scene.random.integer(8)},${scene.random.integer(2)}:hang`;
      await launch(scene, { failpoints, more: { more: "stall_after: 3" } });
      const ending = await finish(scene);
      return {
        ending,
        fired_ms: firedAt(scene),
        expect: ({ logs }) =>
          logs.some(({ line }) => line.includes("no worker has answered for")) ? undefined : "nobody noticed that it hung",
      };
    },
  },
  {
    name: "SIGTERM, then resumed",
    row: "SIGTERM",
    async run(scene) {
      const { yard, id } = scene;
      // The coordinator sleeps behind a step when it is told to end: twelve short steps would be over before anybody else has told it.
      await launch(scene, { failpoints: `after-commit@${2 + scene.random.integer(3)},c:stop` });
      await until("the coordinator's sleep", () => yard.firings().length > 0);
      const ended = yard.end("SIGTERM");
      signalTo(yard.coordinator?.pid ?? 0, "SIGCONT");
      const code = await ended;
      const saved = readdirSync(join(yard.runDirectory(id), "checkpoints")).length;
      const at = committed(scene);
      await yard.start();
      const { from_step } = await yard.client.resume(id);
      const ending = await finish(scene);
      return {
        ending,
        expect: () =>
          code === 0 && saved > 0 && from_step === at
            ? undefined
            : `exit ${code}, ${saved} checkpoints, resumed behind ${from_step} of ${at}`,
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
    name: "newest checkpoint damaged, then everything killed",
    row: "any bit of a checkpoint flipped",
    async run(scene) {
      const { yard, id, random } = scene;
      const client = await launch(scene);
      await until("two checkpoints", async () => (await client.checkpoints(id)).checkpoints.length >= 2);
      const pids = yard.processesOfWorkers();
      await yard.end("SIGKILL");
      for (const pid of pids) signalTo(pid, "SIGKILL");
      const checkpoints = join(yard.runDirectory(id), "checkpoints");
      const newest = Math.max(
        ...readdirSync(checkpoints)
          .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
          .map(Number),
      );
      const file = join(
        checkpoints,
        `step-${newest}`,
        ["model.safetensors", "optimizer.safetensors", "manifest.json"][random.integer(3)] ?? "",
      );
      const bytes = readFileSync(file);
      const at = random.integer(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(8));
      writeFileSync(file, bytes);
      await yard.start();
      const ending = await finish(scene);
      return {
        ending,
        expect: ({ logs }) =>
          logs.some(({ line }) => line.includes("a checkpoint is refused")) ? undefined : "the damage was not noticed",
      };
    },
  },
  {
    name: "checkpoint cannot be written",
    row: "disk full, EIO, read-only",
    async run(scene) {
      await launch(scene, { failpoints: `shard-half-written@${4 + 4 * scene.random.integer(2)},c:throw` });
      const ending = await finish(scene);
      return {
        ending,
        expect: ({ logs }) => (logs.some(({ line }) => line.includes("no checkpoint of step")) ? undefined : "nothing says so"),
      };
    },
  },
  {
    name: "checkpoint reaches the disk damaged",
    row: "disk full, EIO, read-only",
    async run(scene) {
      await launch(scene, { failpoints: `shard-half-written@${4 + 4 * scene.random.integer(2)},c:corrupt` });
      const ending = await finish(scene);
      return {
        ending,
        expect: ({ logs }) => (logs.some(({ line }) => line.includes("LAP_CHECKPOINT_DAMAGED")) ? undefined : "nothing says so"),
      };
    },
  },
  ...["full", "read-only"].map(
    /** @returns {FaultCase} */ (kind) => ({
      name: `disk ${kind} during a checkpoint`,
      row: "disk full, EIO, read-only",
      needsRoot: true,
      async run(scene) {
        const { yard, id } = scene;
        const client = await launch(scene, { more: { steps } });
        const place = join(yard.runDirectory(id), "checkpoints");
        mount(["-t", "tmpfs", "-o", "size=64M", "lapidary-faults", place]);
        try {
          await until("a checkpoint", async () => (await client.checkpoints(id)).checkpoints.length > 0);
          mount(["-o", kind === "full" ? "remount,size=5M" : "remount,ro", place]);
          await until(
            "the refusal",
            async () =>
              (await client.logs(id)).lines.some(({ line }) => line.includes("no checkpoint of step")) ||
              (await client.get(id)).finished_at !== undefined,
          );
          const whole = (await client.checkpoints(id)).checkpoints.length;
          mount(["-o", kind === "full" ? "remount,size=64M" : "remount,rw", place]);
          let ending = await finish(scene);
          // The last checkpoint met the bad disk: then the job says so, and is resumed.
          const failedAtEnd = ending.code === "LAP_CHECKPOINT_WRITE";
          if (failedAtEnd) {
            await client.resume(id);
            ending = await finish(scene);
          }
          const told = ending.logs.some(({ line }) => /no checkpoint of step \d+: LAP_CHECKPOINT_WRITE.*(ENOSPC|EROFS)/.test(line));
          return {
            ending,
            expect: () => (told && whole > 0 ? undefined : `told: ${told}, whole: ${whole}`),
            ...(failedAtEnd ? { note: "at the last checkpoint: resumed" } : {}),
          };
        } finally {
          spawnSync("umount", ["-l", place]);
        }
      },
    }),
  ),
  {
    name: "fsync fails during a checkpoint",
    row: "disk full, EIO, read-only",
    needsWeather: true,
    async run(scene) {
      const { yard, id } = scene;
      const client = await launch(scene, { env: yard.weather() });
      await until("a checkpoint", async () => (await client.checkpoints(id)).checkpoints.length > 0);
      yard.setWeather("fsync", "/checkpoints/");
      await until(
        "the refusal",
        async () =>
          (await client.logs(id)).lines.some(({ line }) => line.includes("no checkpoint of step")) ||
          (await client.get(id)).finished_at !== undefined,
      );
      const whole = (await client.checkpoints(id)).checkpoints.length;
      yard.setWeather("fsync", undefined);
      let ending = await finish(scene);
      const failedAtEnd = ending.code === "LAP_CHECKPOINT_WRITE";
      if (failedAtEnd) {
        await client.resume(id);
        ending = await finish(scene);
      }
      const told = ending.logs.some(({ line }) => /no checkpoint of step \d+: LAP_CHECKPOINT_WRITE.*EIO/.test(line));
      return {
        ending,
        mustFire: 1,
        expect: () => (told && whole > 0 ? undefined : `told: ${told}, whole: ${whole}`),
        ...(failedAtEnd ? { note: "at the last checkpoint: resumed" } : {}),
      };
    },
  },
  ...["ledger.jsonl", "events.jsonl"].map(
    /** @returns {FaultCase} */ (file) => ({
      name: `fdatasync of ${file} fails`,
      row: "disk full, EIO, read-only",
      needsWeather: true,
      async run(scene) {
        const { yard, id, random } = scene;
        const client = await launch(scene, { env: yard.weather() });
        await reached(scene, 1 + random.integer(6));
        yard.setWeather("fsync", `/${id}/${file}`);
        const refused = await finish(scene);
        const before = committed(scene);
        yard.setWeather("fsync", undefined);
        const { from_step } = await client.resume(id);
        const right = refused.code === "LAP_LEDGER_WRITE" || refused.code === "LAP_JOURNAL_WRITE";
        const ending = await finish(scene);
        return {
          ending,
          expect: () =>
            right && from_step <= before
              ? undefined
              : `${refused.state} ${refused.code} ${refused.message}; resumed behind ${from_step} of ${before}`,
          mustFire: 1,
          note: "stops, and is resumed",
        };
      },
    }),
  ),
  ...[3600, -3600].flatMap((seconds) =>
    [
      { who: "the coordinator", parts: "coordinator/dist/main.js", processes: 1 },
      { who: "the workers", parts: "worker/dist/main.js", processes: 1 },
      { who: "every process, Redis too", parts: "dist/main.js redis-server valkey-server", processes: 3 },
    ].map(
      /** @returns {FaultCase} */ ({ who, parts, processes }) => ({
        name: `clock jumps by ${seconds > 0 ? "+" : ""}${seconds / 3600} h in ${who}`,
        row: "clock jumps",
        needsWeather: true,
        run: (scene) =>
          besideAnother(
            scene,
            async () => {
              await reached(scene, 2 + scene.random.integer(3));
              scene.yard.setWeather("clock", `${seconds} ${parts}`);
            },
            scene.yard.weather(),
          )
            .then((happened) => ({
              ...happened,
              mustFire: processes,
              expect: (/** @type {Ending} */ ending) =>
                parts.includes("server") && !scene.yard.firings().some(({ name }) => name.includes("server"))
                  ? "the clock of Redis did not jump"
                  : happened.expect?.(ending),
            }))
            .finally(() => scene.yard.setWeather("clock", undefined)),
      }),
    ),
  ),
  {
    name: "straggler: a worker that stands still most of the time",
    row: "straggler",
    async run(scene) {
      const { yard, id, random } = scene;
      const client = await launch(scene);
      await reached(scene, 1);
      const pid = (await yard.workerPids(id))[random.integer(2)] ?? 0;
      const said = (/** @type {{ line: string }} */ { line }) => line.includes("is a straggler");
      const over = async () => (await client.get(id)).finished_at !== undefined || (await client.logs(id)).lines.some(said);
      while (!(await over())) {
        signalTo(pid, "SIGSTOP");
        await pause(150);
        signalTo(pid, "SIGCONT");
        await pause(10);
      }
      return {
        ending: await finish(scene),
        expect: ({ logs, goodput }) =>
          logs.some(said) && goodput.failures === 0 ? undefined : `flagged: ${logs.some(said)}, failures: ${goodput.failures}`,
      };
    },
  },
  {
    name: "loss that is no number, and the guard says stop",
    row: "NaN or a loss spike",
    expected: "stops at once, exit 100, and names the batch",
    async run(scene) {
      const ending = await learning(scene, "1.0e+30", "{ not_finite: stop }");
      return { ending, expect: stopsWith("LAP_LOSS_NOT_FINITE", 0), note: "stops" };
    },
  },
  {
    name: "loss that is no number, again and again, and the guard says skip, two at most",
    row: "NaN or a loss spike",
    expected: "leaves two batches out, then stops, exit 100, and names the batch",
    async run(scene) {
      const ending = await learning(scene, "1.0e+30", "{ not_finite: skip, most: 2 }");
      return { ending, expect: stopsWith("LAP_LOSS_NOT_FINITE", 2), note: "stops" };
    },
  },
  {
    name: "loss spikes, and the guard leaves the batches out",
    row: "NaN or a loss spike",
    expected: "rolled back to the step before each, done, each batch named, the digest that a second such run has",
    async run(scene) {
      const spiky = "{ spike: 1.001, most: 1000 }";
      const ending = await learning(scene, "3.0e-1", spiky, 42);
      const skipped = ending.logs.filter(({ line }) => line.includes("left out")).length;
      await scene.yard.end();
      const again = await learning({ ...scene, id: `${scene.id}-again` }, "3.0e-1", spiky, 42);
      const right = ending.state === "done" && ending.rows.length === 42 && skipped > 0 && again.digest === ending.digest;
      return {
        ending,
        expect: () =>
          right
            ? undefined
            : `${ending.state} ${ending.code}; steps ${ending.rows.length}, left out ${skipped}, again ${again.digest === ending.digest}`,
        note: "stops",
      };
    },
  },
  ...[
    { to: "another mesh", overrides: ["mesh.data=2", "mesh.model=8"] },
    { to: "another ZeRO stage", overrides: ["zero=1"] },
    { to: "another number of workers", overrides: ["workers=1"] },
    { to: "another mesh, ZeRO stage and number of workers", overrides: ["mesh.data=8", "mesh.model=2", "zero=2", "workers=4"] },
  ].map(
    /** @returns {FaultCase} */ ({ to, overrides }) => ({
      name: `stopped, then resumed on ${to}`,
      row: "restore onto another mesh, worker count or ZeRO stage",
      expected: "goes on from the very step; done, each step once, the losses of the quiet run but for the order of sums",
      async run(scene) {
        const { yard, id, random, quiet } = scene;
        await launch(scene);
        await reached(scene, 3 + random.integer(5));
        await yard.end("SIGTERM");
        const at = committed(scene);
        await yard.start({ workers: 4 });
        const { from_step } = await yard.client.resume(id, { overrides });
        const ending = await finish(scene);
        const differs = ending.commits.find(({ step, loss }) => Math.abs(loss - (quiet.commits[step - 1]?.loss ?? 0)) > 1e-3 * loss);
        const once = ending.rows.length === quiet.rows.length && ending.rows.every((step, i) => step === i + 1);
        const right = ending.state === "done" && from_step === at && once && differs === undefined;
        return {
          ending,
          expect: () =>
            right
              ? undefined
              : `${ending.state} ${ending.code} ${ending.message}; behind ${from_step} of ${at}; steps ${ending.rows}; differs at ${differs?.step}`,
          note: "stops",
        };
      },
    }),
  ),
  {
    name: "BullMQ delivers a running job again: its locks are gone, again and again",
    row: "BullMQ redelivers a job",
    run: (scene) => {
      let gone = 0;
      return besideAnother(scene, async () => {
        await reached(scene, 1);
        for (let i = 0; i < 20; i++) {
          const script = "local n = 0 for _, key in ipairs(redis.call('KEYS', '*:lock')) do n = n + redis.call('DEL', key) end return n";
          gone += Number(/^:(\d+)/.exec(String(await redis(scene.yard, ["EVAL", script, "0"])))?.[1] ?? 0);
          await pause(100);
        }
      }).then((happened) => ({
        ...happened,
        expect: (ending) => (gone === 0 ? "there was no lock to take away" : happened.expect?.(ending)),
      }));
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
        expect: () => (stale.code === "LAP_EPOCH_STALE" && wrote <= before + 4 ? undefined : `${stale.code}; ${before} then ${wrote}`),
      };
    },
  },
  {
    name: "Redis killed",
    row: "Redis killed, restarted, wiped",
    async run(scene) {
      const { yard } = scene;
      await launch(scene);
      await reached(scene, 2 + scene.random.integer(5));
      const pid = yard.redisPid();
      signalTo(pid, "SIGKILL");
      const began = Date.now();
      const resumed_ms = await until(
        "Redis",
        async () => yard.redisPid() !== pid && (await yard.client.status()).redis.connected && Date.now() - began,
      );
      return {
        ending: await finish(scene),
        resumed_ms,
        expect: ({ goodput }) => (goodput.failures === 0 ? undefined : "training noticed"),
      };
    },
  },
  {
    name: "Redis frozen for 2 s",
    row: "Redis killed, restarted, wiped",
    async run(scene) {
      const { yard } = scene;
      await launch(scene);
      await reached(scene, 2 + scene.random.integer(5));
      const pid = yard.redisPid();
      signalTo(pid, "SIGSTOP");
      await pause(2000);
      signalTo(pid, "SIGCONT");
      return { ending: await finish(scene), expect: ({ goodput }) => (goodput.failures === 0 ? undefined : "training noticed") };
    },
  },
  {
    name: "Redis wiped while a job runs and another waits",
    row: "Redis killed, restarted, wiped",
    async run(scene) {
      const { yard, id } = scene;
      const client = await launch(scene);
      const { id: waiting } = await client.submit({ yaml: yard.jobFile({ steps: 2, every: 0 }), name: `${id}-next` });
      await reached(scene, 2 + scene.random.integer(5));
      await redis(yard, ["FLUSHALL"]);
      const ending = await finish(scene);
      const next = await yard.ending(waiting);
      return {
        ending,
        expect: () => (next.state === "done" && next.rows.length === 2 ? undefined : `the other job: ${next.state}, steps ${next.rows}`),
      };
    },
  },
  {
    name: "Redis: connections cut, again and again",
    row: "Redis killed, restarted, wiped",
    run: (scene) =>
      besideAnother(scene, async () => {
        for (let i = 0; i < 5; i++) {
          await redis(scene.yard, ["CLIENT", "KILL", "TYPE", "normal"]);
          await pause(50 + scene.random.integer(200));
        }
      }),
  },
  {
    name: "Redis: slow, every command waits up to 3 s",
    row: "Redis killed, restarted, wiped",
    run: (scene) =>
      besideAnother(scene, async () => {
        await redis(scene.yard, ["CLIENT", "PAUSE", "3000", "ALL"]);
      }),
  },
  {
    name: "Redis: full for a while",
    row: "Redis killed, restarted, wiped",
    run: (scene) =>
      besideAnother(scene, async () => {
        await redis(scene.yard, ["CONFIG", "SET", "maxmemory", "1"]);
        await pause(2000);
        await redis(scene.yard, ["CONFIG", "SET", "maxmemory", "0"]);
      }),
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
  {
    name: "Redis of a wrong maxmemory-policy at the start",
    row: "Redis killed, restarted, wiped",
    async run(scene) {
      const { yard } = scene;
      await yard.start();
      await redis(yard, ["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
      await yard.end("SIGKILL");
      const refused = await yard.start().then(
        () => "it started",
        (error) => String(error),
      );
      signalTo(yard.redisPid(), "SIGKILL");
      await pause(200);
      await launch(scene);
      return { ending: await finish(scene), expect: () => (refused.includes("LAP_REDIS_EVICTS") ? undefined : refused) };
    },
  },
  {
    name: "doors: no token, wrong token, wrong Host, wrong Origin, ../ in a name",
    row: "no token, wrong token, wrong Host or Origin",
    async run(scene) {
      const { yard } = scene;
      await launch(scene);
      await reached(scene, 2);
      const { port, token } = JSON.parse(readFileSync(join(yard.home, "coordinator.json"), "utf8"));
      /** @type {string[]} */
      const wrong = [];
      for (const [what, headers, path] of /** @type {[string, Record<string, string>, string][]} */ ([
        ["no token", {}, "/api/status"],
        ["wrong token", { authorization: `Bearer ${"0".repeat(token.length)}` }, "/api/status"],
        ["half a token", { authorization: `Bearer ${token.slice(0, 20)}` }, "/api/status"],
        ["wrong Host", { authorization: `Bearer ${token}`, host: "evil.example" }, "/api/status"],
        ["wrong Origin", { authorization: `Bearer ${token}`, origin: "http://evil.example" }, "/api/status"],
        ["../", { authorization: `Bearer ${token}` }, "/api/jobs/..%2f..%2fetc%2fpasswd"],
        ["../ in a page", { authorization: `Bearer ${token}` }, "/assets/..%2f..%2fpackage.json"],
      ])) {
        const status = await raw(port, path, headers);
        if (status >= 200 && status < 400) wrong.push(`${what}: ${status}`);
      }
      const ending = await finish(scene);
      return { ending, expect: ({ goodput }) => (wrong.length === 0 && goodput.failures === 0 ? undefined : wrong.join(", ")) };
    },
  },
];

/**
 * A job that learns so fast, under such a guard, to its end.
 * @param {Scene} scene @param {string} lr @param {string} guard @param {number} [count] of steps
 */
async function learning(scene, lr, guard, count = steps) {
  const client = await scene.yard.start();
  const yaml = scene.yard
    .jobFile({ steps: count })
    .replace(/lr: \S+/, `lr: ${lr}`)
    .replace("  batch: 8\n", `  batch: 8\n  guard: ${guard}\n`);
  await client.submit({ yaml, name: scene.id });
  return finish(scene);
}

/** @param {string} code @param {number} skips @returns {(ending: Ending) => string | undefined} */
const stopsWith =
  (code, skips) =>
  ({ state, code: is, message, logs, place }) => {
    const left = logs.filter(({ line }) => line.includes("left out")).length;
    const named = /batch|rows/.test(`${message} ${place}`);
    return state === "failed" && is === code && left >= skips && named
      ? undefined
      : `${state} ${is} ${message} (${place}), ${left} left out`;
  };

/**
 * Does something while a job runs and another waits: training must not notice, and the one that waits must run once.
 * @param {Scene} scene @param {() => Promise<void>} fault @param {Record<string, string>} [env] @returns {Promise<Happened>}
 */
async function besideAnother(scene, fault, env = {}) {
  const { yard, id } = scene;
  const client = await launch(scene, { env });
  const { id: waiting } = await client.submit({ yaml: yard.jobFile({ steps: 2, every: 0 }), name: `${id}-next` });
  await fault();
  const ending = await finish(scene);
  const next = await yard.ending(waiting);
  return {
    ending,
    expect: ({ goodput }) => {
      if (goodput.failures > 0) return "training noticed";
      return next.state === "done" && next.rows.length === 2 ? undefined : `the other job: ${next.state}, steps ${next.rows}`;
    },
  };
}

/** @param {readonly string[]} words */
function mount(words) {
  const { status, stderr } = spawnSync("mount", words, { encoding: "utf8" });
  if (status !== 0) throw new Error(`mount ${words.join(" ")}: ${stderr}`);
}

/**
 * A request as it is written, whatever a client library would make of its headers.
 * @param {number} port @param {string} path @param {Record<string, string>} headers
 * @returns {Promise<number>} the status
 */
function raw(port, path, headers) {
  return new Promise((resolve, reject) => {
    const lines = Object.entries({ host: `127.0.0.1:${port}`, connection: "close", ...headers }).map(
      ([name, value]) => `${name}: ${value}`,
    );
    const socket = connect(port, "127.0.0.1", () => socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`));
    let text = "";
    socket.on("data", (data) => {
      text += data;
    });
    socket.on("close", () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)));
    socket.on("error", reject);
  });
}

/** @param {number} seed */
export const randomOf = (seed) => seededRandom(seed);
