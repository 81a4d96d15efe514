/**
 * Writes the plan of a pipeline with made-up shards, which have names alone, and reads it again.
 * Arguments: number of shards, directory. Prints the number of shards and of keys that it reads.
 */
import { type PlanFile, type PlannedShard, readPlanFile, writePlanFile } from "../result/plan-file.js";

const [shards = "0", directory = ""] = process.argv.slice(2);

function* madeUpShards(): Generator<PlannedShard> {
  for (let i = 0; i < Number(shards); i++)
    yield { source: "web", name: `web/${i}`, bytes: 1, view: { edits: [], columns: [] }, accounts: [] };
}

function* madeUpKeys(): Generator<string> {
  for (let i = 0; i < Number(shards); i++) yield `key ${i}`;
}

const made: PlanFile = {
  version: 2,
  file: "/p.yaml",
  sources: { web: { licence: "CC0-1.0", damaged: "error" } },
  stages: [],
  files: [],
  shards: madeUpShards,
  keys: madeUpKeys,
};
writePlanFile(directory, made);
const read = readPlanFile(directory);
const counts = { shards: 0, keys: 0 };
for (const { name } of read.shards()) if (name === `web/${counts.shards}`) counts.shards++;
for (const key of read.keys()) if (key === `key ${counts.keys}`) counts.keys++;
process.stdout.write(`${JSON.stringify({ ...counts, rss_mb: process.resourceUsage().maxRSS / 1000 })}\n`);
