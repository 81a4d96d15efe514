/** What must be true of a run to which something was done. */

import { isOfType } from "../../packages/api/dist/run-events.js";

/** @typedef {import("./cases/scene.mjs").Happened} Happened */
/** @typedef {import("./yard.mjs").Ending} Ending */

/**
 * @param {Happened} happened
 * @param {Ending} quiet
 * @param {readonly { name: string }[]} firings
 * @param {import("./cases/scene.mjs").FaultCase} fault
 * @returns {string | undefined} what is wrong
 */
export function judge({ ending, expect, fired_ms, note, mustFire = 0 }, quiet, firings, fault) {
  const unrecorded = problemOfEvents(ending, firings);
  if (unrecorded !== undefined) return unrecorded;
  if (firings.length < mustFire) return `the fault was met ${firings.length} times: ${firings.map(({ name }) => name)}`;
  const own = expect?.(ending);
  if (own !== undefined) return own;
  if (note === "stops") return undefined;
  if (ending.state !== "done") return `it is ${ending.state}: ${ending.code} ${ending.message}`;
  if (fired_ms === undefined && fault.row === "worker killed") return "the fault did not happen";
  if (/ killed at /.test(fault.name) && firings.length === 0) return "the failpoint was not reached";
  const once = ending.rows.every((step, i) => step === i + 1) && ending.rows.length === quiet.rows.length;
  if (!once) return `steps told: ${ending.rows.join(" ")}`;
  if (ending.digest !== quiet.digest) return `the ledger's digest is ${ending.digest}, of the quiet run ${quiet.digest}`;
  if (ending.tensors !== quiet.tensors) return `the last checkpoint is ${ending.tensors}, of the quiet run ${quiet.tensors}`;
  return undefined;
}

/**
 * Whether the run's events have what is known without them: each failure that the goodput counts, each failpoint that left a file, and how the job ended.
 * @param {Ending} ending
 * @param {readonly { name: string }[]} firings
 * @returns {string | undefined} what is missing
 */
export function problemOfEvents({ events, skippedEvents, goodput, state }, firings) {
  if (skippedEvents > 0) return `${skippedEvents} events are of another version`;
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
 * @param {Happened} happened
 * @returns {Record<string, number | undefined>}
 */
export function timesOf({ ending, fired_ms, resumed_ms, steps_replayed }) {
  const failures = ending.events.filter(isOfType("attempt_failed")).filter(({ recoverable }) => recoverable);
  const first = failures.find(({ time }) => fired_ms !== undefined && time >= fired_ms);
  // Those that recover from a failure, and not those that continue a job which was resumed.
  const restored = ending.events.filter(isOfType("state_restored")).filter(({ error_code }) => error_code !== undefined);
  const detect_ms = first === undefined || fired_ms === undefined ? undefined : first.time - fired_ms;
  return {
    detect_ms,
    recover_ms: detect_ms === undefined ? undefined : detect_ms + (ending.goodput?.worst_recovery_ms ?? 0),
    resumed_ms,
    steps_replayed:
      steps_replayed ?? (restored.length === 0 ? undefined : Math.max(...restored.map(({ repeated_steps }) => repeated_steps))),
  };
}

/**
 * Of all trials of a row: median and 99th percentile of what it took, and the most steps that were computed again.
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
