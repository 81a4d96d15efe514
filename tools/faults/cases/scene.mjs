import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { isOfType } from "../../../packages/api/dist/run-events.js";
import { until } from "../yard.mjs";

/** @typedef {import("../yard.mjs").Yard} Yard */
/** @typedef {import("../yard.mjs").Ending} Ending */
/**
 * @typedef {{ readonly yard: Yard, readonly seed: number, readonly random: import("../../../packages/std/dist/index.js").Random, readonly quiet: Ending, readonly id: string }} Scene
 * @typedef {{ readonly ending: Ending, readonly fired_ms?: number | undefined, readonly resumed_ms?: number | undefined, readonly expect?: (ending: Ending) => string | undefined, readonly note?: string, readonly mustFire?: number, readonly steps_replayed?: number | undefined }} Happened
 * @typedef {{ readonly name: string, readonly row: string, readonly expected?: string, readonly needsRoot?: boolean, readonly needsWeather?: boolean, readonly run: (scene: Scene) => Promise<Happened> }} FaultCase
 */

export const steps = 12;

/** @param {Scene} scene @param {{ failpoints?: string, more?: any, env?: Record<string, string> }} options */
export async function launch({ yard, id }, { failpoints = "", more = {}, env = {} } = {}) {
  const client = await yard.start({ failpoints, env });
  await client.submit({ yaml: yard.jobFile({ steps, ...more }), name: id });
  return client;
}

/** @param {Scene} scene @param {number} step */
export const reached = ({ yard, id }, step) =>
  until(`step ${step}`, async () => {
    const job = await yard.client.get(id);
    if (job.finished_at !== undefined) throw new Error(`the job ended before step ${step}: ${job.state} ${job.error?.message ?? ""}`);
    return job.step >= step;
  });

/** @param {Scene} scene */
export const firedAt = ({ yard }) => yard.firings().at(-1)?.time;

/** @param {Scene} scene */
export async function finish(scene) {
  return scene.yard.ending(scene.id);
}

/**
 * Another coordinator takes the place of one that is dead.
 * @param {Scene} scene @param {boolean} remembered whether it must go on from the workers' memory @returns {Promise<Happened>}
 */
export async function succeeded(scene, remembered) {
  const { yard, id } = scene;
  const before = committed(scene);
  const began = Date.now();
  await yard.start();
  const resumed_ms = await until("a new step", async () => {
    const job = await yard.client.get(id);
    return (job.step > before || job.finished_at !== undefined) && Date.now() - began;
  });
  const ending = await finish(scene);
  const since = ending.events.filter(({ time }) => time >= began);
  const restored = since.find(isOfType("state_restored"));
  const wanted = remembered ? "replica" : "checkpoint";
  return {
    ending,
    resumed_ms,
    steps_replayed: restored?.repeated_steps,
    expect: () => {
      if (!since.some(isOfType("job_taken_over"))) return "no event says that the job was taken over";
      if (restored === undefined) return "training did not continue";
      if (restored.step + restored.repeated_steps !== before)
        return `${restored.repeated_steps} steps after ${restored.step} repeated, ${before} were committed`;
      // Before the first checkpoint there is nothing on disk to continue from.
      const source = restored.source === "initialization" ? "checkpoint" : restored.source;
      return source === wanted ? undefined : `training continued from ${restored.source}`;
    },
  };
}

/** @param {Scene} scene */
export function committed({ yard, id }) {
  const path = join(yard.runDirectory(id), "ledger.jsonl");
  const steps_ = existsSync(path) ? [...readFileSync(path, "utf8").matchAll(/^\{"step":(\d+)/gm)].map(([, step]) => Number(step)) : [];
  return Math.max(0, ...steps_);
}

/**
 * Signals a process; one that has ended already is left in peace. Never a group of processes (a number below 1 is one): that would be our own.
 * @param {number | undefined} pid @param {NodeJS.Signals} signal
 */
export function signalTo(pid, signal) {
  if (pid === undefined || pid < 1) throw new Error(`there is no process to send ${signal} to`);
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

/**
 * Does something while a job runs and another waits: training must not notice, and the one that waits must run once.
 * @param {Scene} scene @param {() => Promise<void>} fault
 * @param {{ env?: Record<string, string>, isNoticed?: boolean }} [options] `isNoticed`: training has to recover from it
 * @returns {Promise<Happened>}
 */
export async function besideAnother(scene, fault, { env = {}, isNoticed = false } = {}) {
  const { yard, id } = scene;
  const client = await launch(scene, { env });
  const { id: waiting } = await client.submit({ yaml: yard.jobFile({ steps: 2, every: 0 }), name: `${id}-next` });
  await fault();
  const ending = await finish(scene);
  const next = await yard.ending(waiting);
  return {
    ending,
    expect: ({ goodput }) => {
      if (goodput.failures > 0 !== isNoticed) return isNoticed ? "training did not notice" : "training noticed";
      return next.state === "done" && next.rows.length === 2 ? undefined : `the other job: ${next.state}, steps ${next.rows}`;
    },
  };
}
