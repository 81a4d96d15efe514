#!/usr/bin/env node
/**
 * `npm run sim:faults`: random schedules of faults for several runs, by seed. The production code of workers, worker groups and runs executes on a
 * virtual clock, a simulated network and a simulated disk. A failure prints its seed; `--from SEED --seeds 1` repeats it. `--bugs` plants each
 * mistake of `bugs.mjs` in turn and reports the first seed that finds it.
 */
import { availableParallelism } from "node:os";
import { readFlags } from "../flags.mjs";
import { bugs } from "./bugs.mjs";
import { simulateSeeds } from "./seed-pool.mjs";

const { values: flags } = readFlags(
  "npm run sim:faults -- [--seeds N] [--from SEED] [--processes N] [--bug NAME | --bugs [--only TEXT]] [--json]   N schedules (1000), from SEED on (1); with a planted bug, or each bug, or each whose name has TEXT",
  {
    seeds: { type: "count", default: "1000" },
    from: { type: "count", default: "1" },
    processes: { type: "count", default: String(availableParallelism()) },
    bug: { type: "string", default: "none", among: ["none", ...bugs.map(({ name }) => name)] },
    bugs: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    json: { type: "boolean", default: false },
  },
);
const [first, count, processes] = [Number(flags.from), Number(flags.seeds), Number(flags.processes)];
/** Problems of one command; later ones are rarely of another kind. */
const maxProblems = 20;

/** Shows progress at a terminal. @param {string} text */
const progress = (text) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
};

/** @param {string} line */
const print = (line) => {
  progress("");
  if (!flags.json) console.log(line);
};

process.exitCode = flags.bugs ? await findBugs() : await runSchedules();

async function runSchedules() {
  /** @type {Map<string, number>} */
  const coverage = new Map();
  /** @type {{ seed: number, problem: string, faults: readonly string[] }[]} */
  const problems = [];
  let [schedules, faults, virtual_ms, events] = [0, 0, 0, 0];
  const start = performance.now();
  await simulateSeeds({
    first,
    count,
    processes,
    bug: flags.bug === "none" ? undefined : String(flags.bug),
    onReport: (report) => {
      progress(`${++schedules} of ${count} schedules`);
      faults += report.faults.length;
      virtual_ms += report.virtual_ms;
      events += report.events;
      for (const [key, times] of report.coverage) coverage.set(key, (coverage.get(key) ?? 0) + times);
      if (report.problem === undefined) return true;
      problems.push({ seed: report.seed, problem: report.problem, faults: report.faults });
      print(`seed ${report.seed}: ${report.problem} [${report.faults.join(", ")}]`);
      return problems.length < maxProblems;
    },
  });
  const seconds = (performance.now() - start) / 1000;
  const sorted = [...coverage].sort(([, a], [, b]) => b - a);
  if (flags.json)
    console.log(
      JSON.stringify(
        { schedules, problems, faults, events, virtual_s: virtual_ms / 1000, seconds, coverage: Object.fromEntries(sorted) },
        null,
        2,
      ),
    );
  for (const kind of ["fault", "transition", "end", "state"]) {
    const of = sorted.filter(([key]) => key.startsWith(`${kind}: `));
    print(`${of.length} distinct: ${kind}`);
    for (const [key, times] of of) print(`  ${String(times).padStart(8)}  ${key.slice(kind.length + 2)}`);
  }
  print(
    `${schedules} schedules with ${faults} faults in ${seconds.toFixed(1)} s (${Math.round((60 * schedules) / seconds)} a minute); ${events} events, ${Math.round(virtual_ms / 1000)} s of virtual time; ${coverage.size} distinct situations and transitions`,
  );
  print(`${schedules - problems.length} passed, ${problems.length} failed`);
  return problems.length === 0 ? 0 : 1;
}

async function findBugs() {
  /** @type {{ bug: string, kind: string, seed?: number, seeds: number, problem?: string }[]} */
  const results = [];
  for (const { name, kind } of bugs.filter((bug) => bug.name.includes(String(flags.only)))) {
    let seeds = 0;
    /** @type {import("./seed-pool.mjs").SeedReport | undefined} */
    let found;
    await simulateSeeds({
      first,
      count,
      processes,
      bug: name,
      onReport: (report) => {
        progress(`${name}: ${++seeds} of ${count} schedules`);
        if (report.problem !== undefined) found = report;
        return found === undefined;
      },
    });
    results.push({ bug: name, kind, seeds, ...(found === undefined ? {} : { seed: found.seed, problem: found.problem }) });
    print(
      `${found === undefined ? "✘" : "✔"} ${kind}: ${name}: ${found === undefined ? `not found in ${seeds} seeds` : `seed ${found.seed}: ${found.problem}`}`,
    );
  }
  const missed = results.filter(({ seed }) => seed === undefined);
  if (flags.json) console.log(JSON.stringify({ bugs: results }, null, 2));
  print(`${results.length - missed.length} of ${results.length} bugs found, each within ${count} seeds`);
  return missed.length === 0 ? 0 : 1;
}
