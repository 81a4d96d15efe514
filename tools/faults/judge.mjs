/** What must be true of a run to which something was done. */

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
 * @param {Happened} happened
 * @returns {Record<string, number | undefined>}
 */
export function timesOf({ ending, fired_ms, resumed_ms, steps_replayed }) {
  const failures = ending.logs.filter(({ line }) => line.startsWith("failed before step"));
  const first = failures.find(({ time }) => fired_ms !== undefined && time >= fired_ms);
  const again = ending.logs.filter(({ line }) => /goes on behind step/.test(line));
  const lost = failures.map(({ time, line }) => {
    const next = again.find((one) => one.time >= time);
    const failed = Number(/before step (\d+)/.exec(line)?.[1]);
    const from = Number(/behind step (\d+)/.exec(next?.line ?? "")?.[1]);
    return failed - 1 - from;
  });
  const detect_ms = first === undefined || fired_ms === undefined ? undefined : first.time - fired_ms;
  return {
    detect_ms,
    recover_ms: detect_ms === undefined ? undefined : detect_ms + (ending.goodput?.worst_recovery_ms ?? 0),
    resumed_ms,
    steps_replayed: steps_replayed ?? (lost.length === 0 ? undefined : Math.max(0, ...lost.filter(Number.isFinite))),
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
