import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { isOfType } from "../../../packages/api/dist/run-events.js";
import { waitFor } from "../test-cluster.mjs";

/** @typedef {import("../test-cluster.mjs").TestCluster} TestCluster */
/** @typedef {import("../test-cluster.mjs").RunResult} RunResult */
/**
 * @typedef {{ readonly cluster: TestCluster, readonly seed: number, readonly random: import("../../../packages/std/dist/index.js").Random, readonly reference: RunResult, readonly id: string }} FaultContext
 * @typedef {{ readonly result: RunResult, readonly fired_ms?: number | undefined, readonly resumed_ms?: number | undefined, readonly expect?: (result: RunResult) => string | undefined, readonly note?: string, readonly minFirings?: number, readonly steps_replayed?: number | undefined }} Outcome
 * @typedef {{ readonly name: string, readonly row: string, readonly expected?: string, readonly needsRoot?: boolean, readonly needsFaultPreload?: boolean, readonly run: (context: FaultContext) => Promise<Outcome> }} FaultCase
 */

export const steps = 12;

/** @param {FaultContext} context @param {{ failpoints?: string, more?: any, env?: Record<string, string> }} options */
export async function launch({ cluster, id }, { failpoints = "", more = {}, env = {} } = {}) {
  const client = await cluster.start({ failpoints, env });
  await client.submit({ yaml: cluster.jobFile({ steps, ...more }), name: id });
  return client;
}

/** @param {FaultContext} context @param {number} step */
export const reached = ({ cluster, id }, step) =>
  waitFor(`step ${step}`, async () => {
    const job = await cluster.client.get(id);
    if (job.finished_at !== undefined) throw new Error(`the job ended before step ${step}: ${job.state} ${job.error?.message ?? ""}`);
    return job.step >= step;
  });

/** @param {FaultContext} context */
export const firedAt = ({ cluster }) => cluster.firings().at(-1)?.time;

/** @param {FaultContext} context */
export async function finish(context) {
  return context.cluster.result(context.id);
}

/**
 * Starts a coordinator after the previous one was killed.
 * @param {FaultContext} context @param {boolean} fromMemory whether it must continue from the replicas in the workers' memory @returns {Promise<Outcome>}
 */
export async function restartCoordinator(context, fromMemory) {
  const { cluster, id } = context;
  const before = committed(context);
  const began = Date.now();
  await cluster.start();
  const resumed_ms = await waitFor("a new step", async () => {
    const job = await cluster.client.get(id);
    return (job.step > before || job.finished_at !== undefined) && Date.now() - began;
  });
  const result = await finish(context);
  const since = result.events.filter(({ time }) => time >= began);
  const restored = since.find(isOfType("state_restored"));
  const wanted = fromMemory ? "replica" : "checkpoint";
  return {
    result,
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

/** @param {FaultContext} context */
export function committed({ cluster, id }) {
  const path = join(cluster.runDirectory(id), "ledger.jsonl");
  const steps_ = existsSync(path) ? [...readFileSync(path, "utf8").matchAll(/^\{"step":(\d+)/gm)].map(([, step]) => Number(step)) : [];
  return Math.max(0, ...steps_);
}

/**
 * Signals a process. A process that has ended is not an error. A number below 1 would signal the process group of this tool and is refused.
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
 * Sends one command to the private Redis.
 * @param {TestCluster} cluster @param {readonly string[]} words
 */
export function redis(cluster, words) {
  return new Promise((resolve, reject) => {
    const path = readFileSync(`/proc/${cluster.redisPid()}/cmdline`, "utf8").split("\0");
    // The server names its socket in its title.
    const socket =
      path.map((part) => /unixsocket:(\S+)/.exec(part)?.[1] ?? (part.endsWith(".sock") ? part : undefined)).find(Boolean) ??
      join(cluster.home, "redis/redis.sock");
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
 * Injects a fault while one job runs and another is queued. Training must not be affected, and the queued job must run once.
 * @param {FaultContext} context @param {() => Promise<void>} fault
 * @param {{ env?: Record<string, string>, isNoticed?: boolean }} [options] `isNoticed`: training must recover from the fault
 * @returns {Promise<Outcome>}
 */
export async function withConcurrentJob(context, fault, { env = {}, isNoticed = false } = {}) {
  const { cluster, id } = context;
  const client = await launch(context, { env });
  const { id: waiting } = await client.submit({ yaml: cluster.jobFile({ steps: 2, every: 0 }), name: `${id}-next` });
  await fault();
  const result = await finish(context);
  const next = await cluster.result(waiting);
  return {
    result,
    expect: ({ goodput }) => {
      if (goodput.failures > 0 !== isNoticed) return isNoticed ? "training did not notice" : "training noticed";
      return next.state === "done" && next.rows.length === 2 ? undefined : `the other job: ${next.state}, steps ${next.rows}`;
    },
  };
}
