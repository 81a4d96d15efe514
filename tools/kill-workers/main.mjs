// Kills planners, workers and Redis of a pipeline at random instants, and compares what is stored with an undisturbed run.
//
//   node tools/kill-workers/main.mjs [--megabytes N] [--kills N] [--workers N] [--pause-ms N] [--seed N] [--directory DIR]
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readPlanFile } from "../../packages/data-pipeline/dist/result/plan-file.js";
import { redisServer } from "../setup/checks.mjs";
import { corpusFiles, seededRandom, writeCorpus } from "./corpus.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const lapidary = join(root, "packages/cli/bin/lapidary.mjs");

/** @param {string | undefined} text */
const number = (text) => {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new Error(`not a number: ${text}`);
  return value;
};
const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "2" },
    kills: { type: "string", default: "10" },
    workers: { type: "string", default: "2" },
    "pause-ms": { type: "string", default: "3000" },
    seed: { type: "string", default: "1" },
    directory: { type: "string", default: mkdtempSync(join(tmpdir(), "lapidary-kill-workers-")) },
  },
});
const [megabytes, kills, workers] = [number(values.megabytes), number(values.kills), number(values.workers)];
const directory = values.directory;
mkdirSync(directory, { recursive: true });

const random = seededRandom(number(values.seed));
/** @param {number} limit */
const below = (limit) => Math.floor(random() * limit);

/** Sources of a corpus, and pipeline files over it. */
function writeInputs() {
  writeCorpus(directory, megabytes, random);
  const fileBytes = (megabytes * 1e6) / corpusFiles;
  const stages = [
    "  - measure: [gopher]",
    "  - rules: { short: 'gopher.words < 150' }",
    "  - dedup: { exact: { scope: all }, near: { scope: all }, substring: {}, keep_by: [gopher.words, length, id] }",
    "  - decontaminate: { items: ./evals/*.jsonl, also_report: [gpt3-13] }",
    "  - redact: { email: <email> }",
  ];
  const pipeline = (/** @type {string} */ out) =>
    [
      "sources:",
      "  web: { read: ./in/web/*.jsonl, licence: CC0-1.0 }",
      "  books: { read: ./in/books/*.jsonl, licence: CC0-1.0 }",
      "stages:",
      ...stages,
      `out: ./${out}`,
      `shard: ${Math.max(50_000, Math.floor(fileBytes / 2))}`,
    ].join("\n");
  for (const out of ["calm", "killed"]) writeFileSync(join(directory, `${out}.yaml`), `${pipeline(out)}\n`);
}

/**
 * Path and digest of each file of the objects of a plan.
 * @param {string} out
 */
function digests(out) {
  return new Map(
    [...readPlanFile(join(directory, out)).keys()].flatMap((key) =>
      readdirSync(join(directory, out, "objects", key)).map((file) => {
        const bytes = readFileSync(join(directory, out, "objects", key, file));
        return /** @type {const} */ ([`${key}/${file}`, createHash("sha256").update(bytes).digest("hex")]);
      }),
    ),
  );
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return port;
}

/**
 * Processes that are started again when they end.
 * @type {Map<string, { child: import("node:child_process").ChildProcess, exited: Promise<unknown[]> }>}
 */
const running = new Map();
const log = openSync(join(directory, "processes.log"), "a");
/**
 * @param {string} name
 * @param {string} command
 * @param {string[]} args
 */
function start(name, command, args) {
  const child = spawn(command, args, { stdio: ["ignore", log, log], env: { ...process.env, LAPIDARY_HOME: join(directory, "home") } });
  running.set(name, { child, exited: once(child, "exit") });
}
/** @param {string} name */
function found(name) {
  const process = running.get(name);
  if (process === undefined) throw new Error(`${name} was not started`);
  return process;
}
/** @param {string} name */
async function kill(name) {
  const { child, exited } = found(name);
  child.kill("SIGKILL");
  await exited;
}

writeInputs();
execFileSync(process.execPath, [lapidary, "data", "run", join(directory, "calm.yaml"), "--check"], {
  stdio: ["ignore", log, log],
  env: { ...process.env, LAPIDARY_HOME: join(directory, "home") },
});
const calm = digests("calm");
const port = await freePort();
const { path: binary } = redisServer({ env: process.env });
if (binary === undefined) throw new Error("there is no Redis server; run `lapidary setup redis`");
const redis = ["--redis", `redis://127.0.0.1:${port}`];
/** @type {Record<string, () => void>} */
const starts = {
  redis: () => {
    mkdirSync(join(directory, "redis"), { recursive: true });
    const options = [
      "--port",
      String(port),
      "--dir",
      join(directory, "redis"),
      "--appendonly",
      "yes",
      "--save",
      "",
      "--maxmemory-policy",
      "noeviction",
    ];
    start("redis", binary, options);
  },
  planner: () => start("planner", process.execPath, [lapidary, "data", "run", join(directory, "killed.yaml"), ...redis]),
};
for (let i = 0; i < workers; i++)
  starts[`worker-${i}`] = () => start(`worker-${i}`, process.execPath, [lapidary, "data", "worker", "--cores", "1", "--verbose", ...redis]);

/**
 * How often workers began and completed the work of each task since the last call. The log has a line for each.
 * @returns {{ started: number, stored: number }} the largest number of a task
 */
function mostOfATask() {
  const text = readFileSync(join(directory, "processes.log"), "utf8");
  /** @param {string} state */
  const most = (state) => {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const [, key = ""] of text.slice(logged).matchAll(new RegExp(`^lapidary: ${state} ([0-9a-f]{64}) `, "gm")))
      counts.set(key, (counts.get(key) ?? 0) + 1);
    if (counts.size === 0) throw new Error(`no worker ${state} a task`);
    return Math.max(...counts.values());
  };
  const result = { started: most("started"), stored: most("stored") };
  logged = text.length;
  return result;
}
let logged = readFileSync(join(directory, "processes.log"), "utf8").length;
const most = { started: 0, stored: 0 };
const begun = process.hrtime.bigint();

/** @type {Record<string, number>} */
const counts = {};
let [done, runs] = [0, 0];
const check = () => {
  const killed = digests("killed");
  const differing = [...calm].filter(([path, digest]) => killed.get(path) !== digest).map(([path]) => path);
  if (killed.size !== calm.size || differing.length > 0)
    throw new Error(
      `run ${runs}: ${killed.size} files instead of ${calm.size}; ${differing.length} differ: ${differing.slice(0, 3).join(", ")}`,
    );
  const { started, stored } = mostOfATask();
  [most.started, most.stored] = [Math.max(most.started, started), Math.max(most.stored, stored)];
  if (most.stored > 2) throw new Error(`run ${runs}: the work of a task was completed ${most.stored} times`);
  // Throws if the accounts do not meet.
  execFileSync(process.execPath, [lapidary, "data", "status", join(directory, "killed.yaml"), "--json"], { stdio: ["ignore", log, log] });
};
try {
  for (const start of Object.values(starts)) start();
  while (done < kills) {
    const { exited } = found("planner");
    const ended = await Promise.race([
      exited,
      new Promise((resolve) => setTimeout(() => resolve(undefined), below(number(values["pause-ms"])))),
    ]);
    if (ended !== undefined) {
      if (ended[0] === 0) {
        runs++;
        check();
        rmSync(join(directory, "killed"), { recursive: true });
      }
      starts["planner"]?.();
      continue;
    }
    const names = Object.keys(starts);
    const victim = names[below(names.length)] ?? "redis";
    await kill(victim);
    // One of two killed servers loses all data.
    const isWiped = victim === "redis" && below(2) === 0;
    if (isWiped) rmSync(join(directory, "redis"), { recursive: true });
    const what = isWiped ? "redis, wiped" : victim.replace(/-.*/, "");
    counts[what] = (counts[what] ?? 0) + 1;
    done++;
    starts[victim]?.();
  }
  for (;;) {
    const [code] = await found("planner").exited;
    if (code === 0) break;
    starts["planner"]?.();
  }
  runs++;
  check();
  process.stdout.write(
    `${JSON.stringify({ megabytes, kills: done, killed: counts, runs, files: calm.size, equal: true, most_started: most.started, most_stored: most.stored, seconds: Number(process.hrtime.bigint() - begun) / 1e9 })}\n`,
  );
} finally {
  for (const name of running.keys()) await kill(name);
  closeSync(log);
}
rmSync(directory, { recursive: true, force: true });
