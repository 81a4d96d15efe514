import { ok, strictEqual } from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const command = fileURLToPath(new URL("../../../tools/queue-memory/main.mjs", import.meta.url));

describe("memory of Redis during a large data pipeline", function () {
  this.timeout(3_600_000);

  it("Redis stays below 50 MB while a planner gives 1,000,000 tasks to workers", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [command, "--tasks", "1000000"]);
    const { tasks, computed, redis_mb } = JSON.parse(stdout) as { tasks: number; computed: number; redis_mb: number };
    strictEqual(tasks, 1_000_000);
    ok(computed >= tasks && redis_mb < 50, stdout);
  });
});
