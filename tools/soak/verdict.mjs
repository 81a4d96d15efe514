/**
 * Judges the samples of a soak: compares the beginning of the run with its end. A sample describes the time since the previous sample.
 *
 *     samples   | warm-up 10 % | beginning 20 % |        …        | end 20 % |
 */

import { median } from "../median.mjs";

/** @typedef {{ readonly rss_mb: number, readonly descriptors: number }} ProcessSample */
/**
 * @typedef {object} Sample
 * @property {number} at_s since the first step
 * @property {number} step steps that the run has done
 * @property {number} step_ms wall time of a step
 * @property {number} cpu_ms processor time of a step, all processes
 * @property {Readonly<Record<string, ProcessSample>>} processes `coordinator`, `redis`, `worker 0`, …
 * @property {number} files in the state directory
 * @property {number} disk_mb of these files
 * @property {number} redis_mb memory of the data in Redis, which has the event stream
 * @property {number} buckets of the history that the dashboard reads
 * @property {number} history_mb of the answer that the dashboard reads
 */
/** @typedef {{ readonly what: string, readonly beginning: number, readonly end: number, readonly limit: number, readonly met: boolean }} Verdict */

const warmUp = 0.1;
const window = 0.2;

/** Maximum growth from the beginning to the end, as a fraction. */
export const growthLimit = 0.05;
/** Growth that is never a failure: pages that the C library has not returned yet, in MB. */
const slack_mb = 4;
/** Connections that are open for a moment, and checkpoints that are being replaced. */
const slackFiles = 8;
/** Samples that a verdict needs. */
export const fewestSamples = 10;

/**
 * @param {readonly Sample[]} samples in order
 * @param {number} mostBuckets maximum number of buckets of the history
 * @returns {Verdict[]}
 */
export function judge(samples, mostBuckets) {
  if (samples.length < fewestSamples)
    throw new Error(`a verdict needs ${fewestSamples} samples, and the run gave ${samples.length}: let it run longer`);
  const from = Math.ceil(samples.length * warmUp);
  const count = Math.max(2, Math.floor(samples.length * window));
  const first = samples.slice(from, from + count);
  const last = samples.slice(-count);
  /** @param {string} what @param {(sample: Sample) => number} value @param {(beginning: number) => number} limitOf */
  const compare = (what, value, limitOf) => {
    const [beginning, end] = [median(first.map(value)), median(last.map(value))];
    const limit = limitOf(beginning);
    return { what, beginning, end, limit, met: end <= limit };
  };
  const byGrowth = (/** @type {number} */ slack) => (/** @type {number} */ beginning) => beginning * (1 + growthLimit) + slack;
  // A process that was replaced during the run is not in every sample.
  const names = Object.keys(samples.at(-1)?.processes ?? {});
  const missing = names.find((name) => samples.some(({ processes }) => processes[name] === undefined));
  if (missing !== undefined) throw new Error(`the process ${missing} did not run from the beginning to the end`);
  return [
    compare("step time (ms)", ({ step_ms }) => step_ms, byGrowth(0)),
    compare("processor time of a step (ms)", ({ cpu_ms }) => cpu_ms, byGrowth(0)),
    ...names.map((name) => compare(`memory of ${name} (MB)`, ({ processes }) => processes[name]?.rss_mb ?? NaN, byGrowth(slack_mb))),
    ...names.map((name) =>
      compare(
        `descriptors of ${name}`,
        ({ processes }) => processes[name]?.descriptors ?? NaN,
        (beginning) => beginning + slackFiles,
      ),
    ),
    compare(
      "files",
      ({ files }) => files,
      (beginning) => beginning + slackFiles,
    ),
    compare("event stream in Redis (MB)", ({ redis_mb }) => redis_mb, byGrowth(slack_mb)),
    compare(
      "buckets of the dashboard history",
      ({ buckets }) => buckets,
      () => mostBuckets,
    ),
  ];
}

/** Bytes that the journals of a run grow by for a step. @param {readonly Sample[]} samples */
export function bytesOfStep(samples) {
  const [first, last] = [samples[Math.ceil(samples.length * warmUp)], samples.at(-1)];
  if (first === undefined || last === undefined || last.step === first.step) return NaN;
  return ((last.disk_mb - first.disk_mb) * 1e6) / (last.step - first.step);
}
