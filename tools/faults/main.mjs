#!/usr/bin/env node
/**
 * `npm run faults` injects the faults of docs/reliability.md into real processes, disks and Redis, and compares each job with the fault-free reference run.
 * Exits with 1 if a check fails.
 */
import { rmSync } from "node:fs";
import { seededRandom } from "../../packages/std/dist/index.js";
import { steps } from "./cases/context.mjs";
import { faultCases } from "./cases.mjs";
import { readFlags } from "../flags.mjs";
import { checkRun, summaryOf, timesOf } from "./check-run.mjs";
import { soak } from "./soak.mjs";
import { hasFaultPreload, TestCluster } from "./test-cluster.mjs";

const { values: flags } = readFlags(
  `npm run faults -- [--times N] [--only TEXT|TEXT] [--seed N] [--json]   every case N times (5), or the cases that contain TEXT in their name
npm run faults -- --soak N [--gap SECONDS] [--seed N] [--json]         N random faults in one run, 0 to SECONDS (30) apart`,
  {
    json: { type: "boolean", default: false },
    times: { type: "count", default: "5" },
    only: { type: "string" },
    seed: { type: "count", default: "1" },
    soak: { type: "count" },
    gap: { type: "number", default: "30" },
  },
);
const say = (/** @type {string} */ line) => (flags.json ? process.stderr : process.stdout).write(`${line}\n`);
const cluster = new TestCluster();
/** @type {{ fault: string, row: string, expected?: string, trials: readonly { seed: number, ok: boolean, problem?: string }[] }[]} */
const results = [];
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"]))
  process.once(signal, () => {
    void cluster.remove().finally(() => process.exit(130));
  });
try {
  say("the fault-free reference run");
  const client = await cluster.start();
  await client.submit({ yaml: cluster.jobFile({ steps }), name: "reference" });
  const reference = await cluster.result("reference");
  if (reference.state !== "done") throw new Error(`the fault-free reference run is ${reference.state}: ${reference.message}`);
  await cluster.end();
  if (flags.soak !== undefined) results.push(await soak(cluster, Number(flags.soak), Number(flags.seed), say, Number(flags.gap) * 1000));
  else
    for (const fault of faultCases) {
      if (flags.only !== undefined && !flags.only.split("|").some((part) => fault.name.includes(part))) continue;
      if (fault.needsRoot === true && process.getuid?.() !== 0) {
        say(`  not run, because it needs root: ${fault.name}`);
        continue;
      }
      if (fault.needsFaultPreload === true && !hasFaultPreload) {
        say(`  NOT RUN, because it needs Linux and a C++ compiler: ${fault.name}`);
        continue;
      }
      const trials = [];
      for (let time = 0; time < Number(flags.times); time++) {
        const seed = Number(flags.seed) * 1000 + time;
        const id = `f${results.length}-${time}`;
        rmSync(cluster.fired, { recursive: true, force: true });
        /** @type {string | undefined} */
        let problem;
        let outcome;
        try {
          outcome = await fault.run({ cluster, seed, random: seededRandom(seed), reference, id });
          problem = checkRun(outcome, reference, cluster.firings(), fault);
        } catch (error) {
          problem = /** @type {Error} */ (error).stack ?? String(error);
        }
        await cluster.end();
        problem ??= findLeftWorkers(cluster);
        const times = outcome === undefined ? {} : timesOf(outcome);
        const result = outcome?.result;
        trials.push({
          seed,
          ok: problem === undefined,
          outcome: [result?.state ?? "unknown", result?.code].filter(Boolean).join(" "),
          digests_equal: result?.digest === reference.digest && result?.tensors === reference.tensors,
          ...(problem === undefined ? {} : { problem }),
          ...times,
          ...(outcome?.note === undefined ? {} : { note: outcome.note }),
        });
        say(
          `  ${problem === undefined ? "✔" : "✘"} ${fault.name}, seed ${seed}${describe(times)}${problem === undefined ? "" : `: ${problem}`}`,
        );
      }
      results.push({
        fault: fault.name,
        row: fault.row,
        expected: fault.expected ?? "done, each step once, the digests of the fault-free reference run",
        ...summaryOf(trials),
        trials,
      });
    }
} finally {
  await cluster.remove();
}
if (flags.json) process.stdout.write(`${JSON.stringify({ results }, null, 2)}\n`);
const failed = results.flatMap(({ trials }) => trials).filter(({ ok }) => !ok).length;
say(`${results.flatMap(({ trials }) => trials).length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/** @param {TestCluster} where a cluster whose coordinator has shut down cleanly @returns {string | undefined} the problem, if worker processes are left */
function findLeftWorkers(where) {
  const workers = where.processesOfWorkers();
  return workers.length === 0 ? undefined : `worker processes are left: ${workers.join(", ")}`;
}

/** @param {Record<string, number | undefined>} times */
function describe(times) {
  const known = Object.entries(times).filter(([, value]) => value !== undefined);
  return known.length === 0 ? "" : ` (${known.map(([name, value]) => `${name} ${Math.round(value ?? 0)}`).join(", ")})`;
}
