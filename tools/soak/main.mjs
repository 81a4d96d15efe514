#!/usr/bin/env node
/**
 * `npm run soak`: trains `nano16` at full speed on a 16×16 pod and samples what a long run must not let grow: memory, descriptors, files, the event stream and
 * the history of the dashboard. Then compares step time and all of these at the end with the beginning. Exits with 1 if something grew.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { findConnection } from "../../packages/api/dist/client.js";
import { historyLimits } from "../../packages/telemetry/dist/views/run-history.js";
import { cpu_s } from "../bench/ours.mjs";
import { redis } from "../faults/cases/context.mjs";
import { sleep, TestCluster, waitFor } from "../faults/test-cluster.mjs";
import { readFlags } from "../flags.mjs";
import { Report } from "../setup/report.mjs";
import { bytesOfStep, fewestSamples, judge } from "./verdict.mjs";

const { values } = readFlags(
  `npm run soak -- [--minutes 480] [--steps 1000000] [--json]     ends after the first of both; --checkpoint N: a checkpoint after every N steps (1000)`,
  {
    minutes: { type: "number", default: "480" },
    steps: { type: "count", default: "1000000" },
    checkpoint: { type: "count", default: "1000" },
    samples: { type: "count", default: "120" },
    json: { type: "boolean", default: false },
  },
);
const id = "soak";
const lastStep = Number(values.steps);
const say = (/** @type {string} */ line) => (values.json ? process.stderr : process.stdout).write(`${line}\n`);
const cluster = new TestCluster();
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"]))
  process.once(signal, () => {
    void cluster.remove().finally(() => process.exit(130));
  });
try {
  await cluster.start();
  const yaml = cluster.jobFile({
    steps: lastStep,
    every: Number(values.checkpoint),
    keep: 2,
    mesh: "{ data: 16, model: 16 }",
    slice: "16x16",
    batch: 16,
  });
  await cluster.client.submit({ yaml, name: id });
  await waitFor("the first steps", async () => (await jobNow()).step > 2, 600_000);
  const samples = await sampleRun();
  const verdicts = judge(samples, historyLimits.buckets);
  const bytes = bytesOfStep(samples);
  const met = verdicts.every((verdict) => verdict.met);
  for (const { what, beginning, end, limit, met: isMet } of verdicts)
    say(
      `${isMet ? "met" : "MISSED"}: ${what}: ${beginning.toFixed(1)} at the beginning, ${end.toFixed(1)} at the end (at most ${limit.toFixed(1)})`,
    );
  say(
    `${samples.at(-1)?.step} steps in ${((samples.at(-1)?.at_s ?? 0) / 60).toFixed(1)} minutes; the journals grow by ${bytes.toFixed(0)} bytes for a step`,
  );
  if (values.json) process.stdout.write(`${JSON.stringify({ met, verdicts, bytes_of_step: bytes, samples })}\n`);
  process.exitCode = met ? 0 : 1;
} finally {
  await cluster.remove();
}

/** The job, which must still run. */
async function jobNow() {
  const job = await cluster.client.get(id);
  if (job.finished_at !== undefined && job.state !== "done") throw new Error(`the run is ${job.state}: ${job.error?.message ?? ""}`);
  return job;
}

/** Samples the run until its time is over or it has done its steps. @returns {Promise<import("./verdict.mjs").Sample[]>} */
async function sampleRun() {
  const lasts_s = Number(values.minutes) * 60;
  const every_s = lasts_s / Math.max(fewestSamples, Number(values.samples));
  const pids = await processesOf();
  const task = new Report().begin("soak", "training nano16 on 16x16");
  /** @type {import("./verdict.mjs").Sample[]} */
  const samples = [];
  const began = performance.now();
  let before = { at_s: 0, step: (await jobNow()).step, cpu: cpuOf(pids) };
  while (before.at_s < lasts_s && before.step < lastStep) {
    await sleep(every_s * 1000);
    const job = await jobNow();
    // The processes of a finished run are gone.
    if (job.finished_at !== undefined) break;
    const now = { at_s: (performance.now() - began) / 1000, step: job.step, cpu: cpuOf(pids) };
    if (now.step === before.step) continue;
    samples.push({ ...perStep(before, now), ...(await footprint(pids)) });
    before = now;
    task.update(
      `step ${now.step}, ${(now.at_s / 60).toFixed(0)} of ${values.minutes} minutes, ${samples.at(-1)?.step_ms.toFixed(1)} ms a step`,
    );
  }
  task.end("sampled");
  return samples;
}

/** @typedef {{ readonly at_s: number, readonly step: number, readonly cpu: number }} Moment */

/** @param {Moment} before @param {Moment} now */
function perStep(before, now) {
  const steps = now.step - before.step;
  return {
    at_s: now.at_s,
    step: now.step,
    step_ms: ((now.at_s - before.at_s) * 1000) / steps,
    cpu_ms: ((now.cpu - before.cpu) * 1000) / steps,
  };
}

/** @returns {Promise<Readonly<Record<string, number>>>} pids by name */
async function processesOf() {
  const workers = await cluster.workerPids(id);
  return {
    coordinator: cluster.coordinator?.pid ?? 0,
    redis: cluster.redisPid(),
    ...Object.fromEntries(workers.map((pid, worker) => [`worker ${worker}`, pid])),
  };
}

/** @param {Readonly<Record<string, number>>} pids */
function cpuOf(pids) {
  return Object.values(pids).reduce((sum, pid) => sum + cpu_s(pid), 0);
}

/** @param {Readonly<Record<string, number>>} pids */
async function footprint(pids) {
  const processes = Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, processSample(pid)]));
  const stored = readdirSync(cluster.home, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = stored.reduce((sum, entry) => sum + sizeOf(join(entry.parentPath, entry.name)), 0);
  const used = Number(/^used_memory:(\d+)/m.exec(await redis(cluster, ["INFO", "memory"]))?.[1]);
  return { processes, files: stored.length, disk_mb: bytes / 1e6, redis_mb: used / 1e6, ...(await history()) };
}

/** @param {number} pid @returns {import("./verdict.mjs").ProcessSample} */
function processSample(pid) {
  const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
  return { rss_mb: rss, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

/** A checkpoint that is being removed has no size. @param {string} path */
function sizeOf(path) {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The history of the run as the dashboard reads it. */
async function history() {
  const connection = findConnection(cluster.home);
  if (connection === undefined) throw new Error("the coordinator is gone");
  const answer = await fetch(`http://127.0.0.1:${connection.port}/api/jobs/${id}/snapshot`, {
    headers: { authorization: `Bearer ${connection.token}` },
  });
  if (!answer.ok) throw new Error(`the snapshot of the run: HTTP ${answer.status}`);
  const text = await answer.text();
  return { buckets: JSON.parse(text).series.step.length, history_mb: text.length / 1e6 };
}
