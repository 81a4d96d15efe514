#!/usr/bin/env node
/**
 * `npm run sim:faults`: random fault schedules for a run, by seed. The production code runs on a virtual clock, a simulated
 * disk and simulated workers. A failure prints its seed; `--from SEED --seeds 1` repeats it.
 */
import { bugs } from "../../packages/fault-simulation/dist/sim-workers.js";
import { simulate } from "../../packages/fault-simulation/dist/simulate.js";
import { readFlags } from "../flags.mjs";

const { values: flags } = readFlags(
  "npm run sim:faults -- [--seeds N] [--from SEED] [--bug NAME] [--json]   N schedules (1000), from SEED on (1); with an injected bug",
  {
    seeds: { type: "count", default: "1000" },
    from: { type: "count", default: "1" },
    bug: { type: "string", default: "none", among: bugs },
    json: { type: "boolean", default: false },
  },
);
const [first, count] = [Number(flags.from), Number(flags.seeds)];
/** @type {Map<string, number>} */
const states = new Map();
/** @type {Record<string, number>} */
const faults = {};
/** @type {{ seed: number, problem: string, faults: readonly string[] }[]} */
const problems = [];
let virtual_ms = 0;
const start = performance.now();
for (let seed = first; seed < first + count; seed++) {
  const report = await simulate(seed, /** @type {any} */ (flags.bug));
  for (const state of report.states) states.set(state, (states.get(state) ?? 0) + 1);
  for (const fault of report.faults) faults[fault] = (faults[fault] ?? 0) + 1;
  virtual_ms += report.virtual_ms;
  if (report.problem !== undefined) {
    problems.push({ seed, problem: report.problem, faults: report.faults });
    if (!flags.json) console.log(`seed ${seed}: ${report.problem} [${report.faults.join(", ")}]`);
    if (problems.length >= 20) break;
  }
}
const seconds = (performance.now() - start) / 1000;
const all = Object.values(faults).reduce((a, b) => a + b, 0);
if (flags.json)
  console.log(
    JSON.stringify({ seeds: count, problems, faults, states: Object.fromEntries(states), virtual_s: virtual_ms / 1000, seconds }, null, 2),
  );
else {
  console.log(
    `${count} seeds, ${all} faults, ${states.size} distinct situations, ${Math.round(virtual_ms / 1000)} s of virtual time in ${seconds.toFixed(1)} s`,
  );
  for (const [state, times] of [...states].sort(([, a], [, b]) => b - a)) console.log(`  ${String(times).padStart(6)}  ${state}`);
  console.log(`${count - problems.length} passed, ${problems.length} failed`);
}
process.exitCode = problems.length === 0 ? 0 : 1;
