// Peak memory of the processes of `lapidary data run` for inputs of several sizes, in shards of one size.
//
//   node tools/data-memory/main.mjs [--megabytes 100,1000] [--workers N] [--shard 16MB] [--seed N] [--directory DIR]
//
// Prints the peak resident size of the largest worker process and of the planner for each size. Needs /proc.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { seededRandom, writeCorpus } from "../kill-workers/corpus.mjs";

const lapidary = fileURLToPath(new URL("../../packages/cli/bin/lapidary.mjs", import.meta.url));
const sample_ms = 200;

const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "100,1000" },
    workers: { type: "string", default: "1" },
    shard: { type: "string", default: "16MB" },
    seed: { type: "string", default: "1" },
    directory: { type: "string", default: mkdtempSync(join(tmpdir(), "lapidary-data-memory-")) },
  },
});

/**
 * The parent and the peak resident size of each process, in kB.
 * @returns {{ pid: number, parent: number, peak: number }[]}
 */
function processes() {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const status = readFileSync(join("/proc", name, "status"), "utf8");
      const field = (/** @type {string} */ key) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
      return [{ pid: Number(name), parent: field("PPid"), peak: field("VmHWM") }];
    } catch {
      // The process ended.
      return [];
    }
  });
}

/** @param {number} megabytes */
async function peaksOf(megabytes) {
  const directory = join(values.directory, String(megabytes));
  mkdirSync(directory, { recursive: true });
  writeCorpus(directory, megabytes, seededRandom(Number(values.seed)));
  const stages = [
    "  - measure: [gopher]",
    "  - rules: { short: 'gopher.words < 150' }",
    "  - dedup: { exact: { scope: all }, near: { scope: all }, keep_by: [gopher.words, length, id] }",
    "  - redact: { email: <email> }",
    "  - tokenize: { train: { size: 1000, from: 1MB } }",
  ];
  const sources = "sources:\n  web: { read: ./in/web/*.jsonl, licence: CC0-1.0 }\n  books: { read: ./in/books/*.jsonl, licence: CC0-1.0 }";
  const file = join(directory, "pipeline.yaml");
  writeFileSync(file, `${sources}\nstages:\n${stages.join("\n")}\nout: ./out\nshard: ${values.shard}\n`);
  const log = openSync(join(directory, "log"), "a");
  const started = process.hrtime.bigint();
  const child = spawn(process.execPath, [lapidary, "data", "run", file, "--workers", values.workers], {
    stdio: ["ignore", log, log],
    env: { ...process.env, LAPIDARY_HOME: join(directory, "home") },
  });
  const peaks = { planner: 0, worker: 0 };
  const timer = setInterval(() => {
    for (const { pid, parent, peak } of processes()) {
      if (pid === child.pid) peaks.planner = Math.max(peaks.planner, peak);
      else if (parent === child.pid) peaks.worker = Math.max(peaks.worker, peak);
    }
  }, sample_ms);
  const [code] = await once(child, "exit");
  clearInterval(timer);
  closeSync(log);
  if (code !== 0) throw new Error(`the run ended with ${code}: ${readFileSync(join(directory, "log"), "utf8").slice(-2000)}`);
  rmSync(directory, { recursive: true });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  return { megabytes, worker_mb: peaks.worker / 1000, planner_mb: peaks.planner / 1000, seconds };
}

for (const megabytes of values.megabytes.split(",").map(Number)) process.stdout.write(`${JSON.stringify(await peaksOf(megabytes))}\n`);
rmSync(values.directory, { recursive: true, force: true });
