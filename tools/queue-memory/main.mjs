// Peak memory of Redis while a planner gives the tasks of a large plan to a worker that only notes their keys.
//
//   node tools/queue-memory/main.mjs [--tasks 10000,100000] [--capacity N]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startRedisServer } from "../../packages/control/dist/redis-server.js";
import { openStore } from "../../packages/control/dist/store.js";
import { runManyTasks } from "../../packages/data-workers/dist/testing/many-tasks.js";
import { redisServer } from "../setup/checks.mjs";

const { values } = parseArgs({
  options: { tasks: { type: "string", default: "10000,100000" }, capacity: { type: "string", default: "64" } },
});
const { path: binary } = redisServer({ env: process.env });
if (binary === undefined) throw new Error("there is no Redis server; run `lapidary setup redis`");

for (const tasks of values.tasks.split(",").map(Number)) {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-queue-memory-"));
  const server = await startRedisServer({ binary, directory });
  /** @type {{ close: () => void }[]} */
  const stores = [];
  const open = async () => {
    const store = await openStore(server.address, { namespace: "many" });
    stores.push(store);
    return store;
  };
  try {
    const { peakBytes, mostJobs, computed } = await runManyTasks(open, tasks, Number(values.capacity));
    process.stdout.write(`${JSON.stringify({ tasks, computed, most_jobs: mostJobs, redis_mb: peakBytes / 1e6 })}\n`);
  } finally {
    for (const store of stores) store.close();
    await server.stop();
    rmSync(directory, { recursive: true });
  }
}
