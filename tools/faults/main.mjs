#!/usr/bin/env node
/**
 * `npm run faults` breaks real processes, disks and Redis as the table of docs/reliability.md says, and compares what becomes of the job with the run to which nothing was done. Ends with 1 if anything is not as it must be.
 */
import { rmSync } from "node:fs";
import { seededRandom } from "../../packages/std/dist/index.js";
import { steps } from "./cases/scene.mjs";
import { faultCases } from "./cases.mjs";
import { readFlags } from "../flags.mjs";
import { judge, summaryOf, timesOf } from "./judge.mjs";
import { soak } from "./soak.mjs";
import { hasWeather, Yard } from "./yard.mjs";

const { values: flags } = readFlags(
  `npm run faults -- [--times N] [--only TEXT|TEXT] [--seed N] [--json]   every row of the table N times (5), or those that have TEXT in their name
npm run faults -- --soak N [--gap SECONDS] [--seed N] [--json]         N random faults on one run, 0 to SECONDS (30) apart`,
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
const yard = new Yard();
/** @type {{ fault: string, row: string, expected?: string, trials: readonly { seed: number, ok: boolean, problem?: string }[] }[]} */
const results = [];
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"]))
  process.once(signal, () => {
    void yard.remove().finally(() => process.exit(130));
  });
try {
  say("the run to which nothing is done");
  const client = await yard.start();
  await client.submit({ yaml: yard.jobFile({ steps }), name: "quiet" });
  const quiet = await yard.ending("quiet");
  if (quiet.state !== "done") throw new Error(`the quiet run is ${quiet.state}: ${quiet.message}`);
  await yard.end();
  if (flags.soak !== undefined) results.push(await soak(yard, Number(flags.soak), Number(flags.seed), say, Number(flags.gap) * 1000));
  else
    for (const fault of faultCases) {
      if (flags.only !== undefined && !flags.only.split("|").some((part) => fault.name.includes(part))) continue;
      if (fault.needsRoot === true && process.getuid?.() !== 0) {
        say(`  not run, for it needs root: ${fault.name}`);
        continue;
      }
      if (fault.needsWeather === true && !hasWeather) {
        say(`  NOT RUN, for there is no C++ compiler, or this is not Linux: ${fault.name}`);
        continue;
      }
      const trials = [];
      for (let time = 0; time < Number(flags.times); time++) {
        const seed = Number(flags.seed) * 1000 + time;
        const id = `f${results.length}-${time}`;
        rmSync(yard.fired, { recursive: true, force: true });
        /** @type {string | undefined} */
        let problem;
        let happened;
        try {
          happened = await fault.run({ yard, seed, random: seededRandom(seed), quiet, id });
          problem = judge(happened, quiet, yard.firings(), fault);
        } catch (error) {
          problem = /** @type {Error} */ (error).stack ?? String(error);
        }
        await yard.end();
        problem ??= left(yard);
        const times = happened === undefined ? {} : timesOf(happened);
        const ending = happened?.ending;
        trials.push({
          seed,
          ok: problem === undefined,
          outcome: [ending?.state ?? "unknown", ending?.code].filter(Boolean).join(" "),
          digests_equal: ending?.digest === quiet.digest && ending?.tensors === quiet.tensors,
          ...(problem === undefined ? {} : { problem }),
          ...times,
          ...(happened?.note === undefined ? {} : { note: happened.note }),
        });
        say(
          `  ${problem === undefined ? "✔" : "✘"} ${fault.name}, seed ${seed}${describe(times)}${problem === undefined ? "" : `: ${problem}`}`,
        );
      }
      results.push({
        fault: fault.name,
        row: fault.row,
        expected: fault.expected ?? "done, each step once, the digests of the quiet run",
        ...summaryOf(trials),
        trials,
      });
    }
} finally {
  await yard.remove();
}
if (flags.json) process.stdout.write(`${JSON.stringify({ results }, null, 2)}\n`);
const failed = results.flatMap(({ trials }) => trials).filter(({ ok }) => !ok).length;
say(`${results.flatMap(({ trials }) => trials).length - failed} as they must be, ${failed} not`);
process.exitCode = failed === 0 ? 0 : 1;

/** @param {Yard} where one whose coordinator has ended in good order @returns {string | undefined} what it has left behind */
function left(where) {
  const workers = where.processesOfWorkers();
  return workers.length === 0 ? undefined : `workers are left: ${workers.join(", ")}`;
}

/** @param {Record<string, number | undefined>} times */
function describe(times) {
  const known = Object.entries(times).filter(([, value]) => value !== undefined);
  return known.length === 0 ? "" : ` (${known.map(([name, value]) => `${name} ${Math.round(value ?? 0)}`).join(", ")})`;
}
