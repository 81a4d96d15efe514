import { join } from "node:path";
import { arrayOf, epochOf, handleOf, stepIndex, updateCount, updatesAfter } from "@lapidary/protocol";
import { WorkerGroup } from "../worker-group.js";
import { WorkerPool } from "../worker-pool.js";
import { counter, counts, mesh } from "./counter.js";

/**
 * A process that has a pool until it is killed: `node pool-holder.js [DIRECTORY LEASE]`. With a directory its workers outlive it: they are the
 * worker group of run `r`, epoch 5, and have replicas of the counter after three updates. The process prints its state. For each input on stdin
 * it computes one more update, and prints its state again.
 */
const [directory, lease = "0"] = process.argv.slice(2);
const failover =
  directory === undefined
    ? {}
    : {
        directory,
        failover: { registry: join(directory, "workers.json"), lease_s: Number(lease), isActive: () => true, onError: console.error },
      };
const pool = await WorkerPool.start({ environment: process.env, warm: 2, ...failover });
const group = await WorkerGroup.start(pool, { runId: "r", epoch: epochOf(5), mesh, workers: 2 });
const program = await group.load({ chip: counter() });
await group.put(group.parameter(program, "s"), arrayOf("f32", [8], new Float32Array(8)));
const bound = group.bind(program, counts);
const counting = (async function* (): AsyncGenerator<number, never> {
  for (let step = stepIndex(0); ; step = stepIndex(step + 1)) {
    await group.run(bound, { step });
    await group.replicate(updatesAfter(step), [handleOf("s")], updateCount(step));
    yield step + 1;
  }
})();
const count = async (): Promise<void> => {
  const { value: step } = await counting.next();
  if (step >= 3) process.stdout.write(`${JSON.stringify({ pids: group.pids, directory: pool.directory, step })}\n`);
};
for (const _ of [1, 2, 3]) await count();
process.stdin.on("data", () => void count());
