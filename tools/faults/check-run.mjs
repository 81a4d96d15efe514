/** Checks of a run into which a fault was injected. */

import { isOfType } from "../../packages/api/dist/run-events.js";

/** @typedef {import("./cases/context.mjs").Outcome} Outcome */
/** @typedef {import("./test-cluster.mjs").RunResult} RunResult */

/**
 * @param {Outcome} outcome
 * @param {RunResult} reference
 * @param {readonly { name: string }[]} firings
 * @param {import("./cases/context.mjs").FaultCase} fault
 * @returns {string | undefined} the problem, if there is one
 */
export function checkRun({ result, expect, fired_ms, note, minFirings = 0 }, reference, firings, fault) {
  const unrecorded = problemOfEvents(result, firings);
  if (unrecorded !== undefined) return unrecorded;
  if (firings.length < minFirings)
    return `the fault fired ${firings.length} times, expected at least ${minFirings}: ${firings.map(({ name }) => name)}`;
  const own = expect?.(result);
  if (own !== undefined) return own;
  if (note === "stops") return undefined;
  if (result.state !== "done") return `the job is ${result.state}: ${result.code} ${result.message}`;
  if (fired_ms === undefined && fault.row === "worker killed") return "the fault did not fire";
  if (/ killed at /.test(fault.name) && firings.length === 0) return "the failpoint was not reached";
  const once = result.rows.every((step, i) => step === i + 1) && result.rows.length === reference.rows.length;
  if (!once) return `steps in the metrics: ${result.rows.join(" ")}`;
  if (result.digest !== reference.digest)
    return `the digest of the step log is ${result.digest}, that of the fault-free reference run ${reference.digest}`;
  if (result.tensors !== reference.tensors)
    return `the last checkpoint is ${result.tensors}, that of the fault-free reference run ${reference.tensors}`;
  return undefined;
}

/**
 * Compares the run's events with other records: the failures that the goodput counts, the files that failpoints wrote, and the state in which the job ended.
 * @param {RunResult} result
 * @param {readonly { name: string }[]} firings
 * @returns {string | undefined} the difference, if there is one
 */
export function problemOfEvents({ events, skippedEvents, goodput, state }, firings) {
  if (skippedEvents > 0) return `${skippedEvents} events have another version`;
  const failures = events.filter(
    (event) => (event.type === "attempt_failed" && event.recoverable) || event.type === "batch_skipped",
  ).length;
  if (failures !== (goodput?.failures ?? 0)) return `the events have ${failures} failures, the goodput ${goodput?.failures ?? 0}`;
  const injected = events.filter(isOfType("fault_injected")).length;
  const fired = firings.filter(({ name }) => failpointFile.test(name)).length;
  if (injected !== fired) return `the events have ${injected} injected faults, ${fired} failpoints fired`;
  const last = events.filter(isOfType("job_ended")).at(-1)?.state;
  return last === state ? undefined : `the last job_ended says ${last}, the job is ${state}`;
}

/** A file that a failpoint leaves: `before-vote@4,1_kill.1`. Faults of the preloaded library leave others. */
const failpointFile = /^[a-z-]+@\d/;

/**
 * @param {Outcome} outcome
 * @returns {Record<string, number | undefined>}
 */
export function timesOf({ result, fired_ms, resumed_ms, steps_replayed }) {
  const failures = result.events.filter(isOfType("attempt_failed")).filter(({ recoverable }) => recoverable);
  const first = failures.find(({ time }) => fired_ms !== undefined && time >= fired_ms);
  // Only recoveries from a failure: a resumed job restores its state without an error code.
  const restored = result.events.filter(isOfType("state_restored")).filter(({ error_code }) => error_code !== undefined);
  const detect_ms = first === undefined || fired_ms === undefined ? undefined : first.time - fired_ms;
  return {
    detect_ms,
    recover_ms: detect_ms === undefined ? undefined : detect_ms + (result.goodput?.worst_recovery_ms ?? 0),
    resumed_ms,
    steps_replayed:
      steps_replayed ?? (restored.length === 0 ? undefined : Math.max(...restored.map(({ repeated_steps }) => repeated_steps))),
  };
}

/**
 * Over all trials of a case: median and 99th percentile of the times, and the maximum number of steps that were computed again.
 * @param {readonly Record<string, unknown>[]} trials
 */
export function summaryOf(trials) {
  const all = (/** @type {string} */ name) => trials.map((trial) => trial[name]).filter((value) => typeof value === "number");
  const spread = (/** @type {string} */ name) => {
    const values = all(name);
    return values.length === 0 ? undefined : { p50: percentile(values, 0.5), p99: percentile(values, 0.99) };
  };
  const lost = all("steps_replayed");
  return {
    detect_ms: spread("detect_ms"),
    recover_ms: spread("recover_ms") ?? spread("resumed_ms"),
    steps_lost: lost.length === 0 ? undefined : Math.max(...lost),
  };
}

/** @param {readonly number[]} values @param {number} share */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
