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
 * @typedef {{ readonly ending: Ending, readonly fired_ms?: number | undefined, readonly resumed_ms?: number | undefined, readonly expect?: (ending: Ending) => string | undefined, readonly note?: string }} Happened
 * @typedef {{ readonly name: string, readonly row: string, readonly needsRoot?: boolean, readonly run: (scene: Scene) => Promise<Happened> }} FaultCase
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

/** @param {Scene} scene @param {{ failpoints?: string, more?: any }} options */
async function launch({ yard, id }, { failpoints = "", more = {} } = {}) {
  const client = await yard.start({ failpoints });
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
    const before = committed(scene);
    const began = Date.now();
    await yard.start();
    const resumed_ms = await until("a new step", async () => {
      const job = await yard.client.get(scene.id);
      return (job.step > before || job.finished_at !== undefined) && Date.now() - began;
    });
    return { ending: await finish(scene), resumed_ms };
  },
});

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

/** @type {FaultCase[]} */
export const faultCases = [
  ...workerPoints.map(workerKilled),
  ...coordinatorPoints.map(coordinatorKilled),
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
      const { yard, id } = scene;
      await launch(scene);
      await reached(scene, 5 + scene.random.integer(5));
      const victims = [...(await yard.workerPids(id)), yard.redisPid()];
      await yard.end("SIGKILL");
      for (const pid of victims) signalTo(pid, "SIGKILL");
      const began = Date.now();
      const before = committed(scene);
      await yard.start();
      const resumed_ms = await until("a new step", async () => {
        const job = await yard.client.get(id);
        return (job.step > before || job.finished_at !== undefined) && Date.now() - began;
      });
      return { ending: await finish(scene), resumed_ms };
    },
  },
  {
    name: "newest checkpoint damaged, then everything killed",
    row: "any bit of a checkpoint flipped",
    async run(scene) {
      const { yard, id, random } = scene;
      const client = await launch(scene);
      await until("two checkpoints", async () => (await client.checkpoints(id)).checkpoints.length >= 2);
      const pids = await yard.workerPids(id);
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
 * Does something while a job runs and another waits: training must not notice, and the one that waits must run once.
 * @param {Scene} scene @param {() => Promise<void>} fault @returns {Promise<Happened>}
 */
async function besideAnother(scene, fault) {
  const { yard, id } = scene;
  const client = await launch(scene);
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
