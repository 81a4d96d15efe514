import { ok } from "node:assert/strict";
import { TestRedis } from "@lapidary/control/testing";
import { runManyTasks } from "./testing/many-tasks.js";

describe("tasks in the queue", function () {
  this.timeout(300_000);
  const redis = TestRedis.use(process.env);

  it("Redis has four jobs for each slot of a worker, and not the plan", async () => {
    const capacity = 8;
    const { mostJobs, computed, peakBytes } = await runManyTasks(() => redis.open(), 2000, capacity);
    ok(computed >= 2000, `${computed} computed`);
    ok(mostJobs > 0 && mostJobs <= 4 * capacity, `${mostJobs} jobs`);
    ok(peakBytes < 50e6, `${peakBytes} bytes`);
  });
});
