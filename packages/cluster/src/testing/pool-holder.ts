import { join } from "node:path";
import { arrayOf, epochOf, handleOf, stepIndex, updateCount, updatesAfter } from "@lapidary/protocol";
import { Gang } from "../gang.js";
import { WorkerPool } from "../worker-pool.js";
import { counter, counts, mesh } from "./counter.js";

/**
 * A process that holds a pool until it is killed: `node pool-holder.js [DIRECTORY LEASE]`. With a directory its workers outlive it; they are the gang of run `r`, epoch 5, and
 * hold copies of the counter behind three updates. Then it prints what there is; it counts once more, and prints again, whenever something comes
 * on stdin.
 */
const [directory, lease = "0"] = process.argv.slice(2);
const succession =
  directory === undefined
    ? {}
    : {
        directory,
        succession: { register: join(directory, "workers.json"), lease_s: Number(lease), goesOn: () => true, trouble: console.error },
      };
const pool = await WorkerPool.start({ environment: process.env, warm: 2, ...succession });
const gang = await Gang.start(pool, { runId: "r", epoch: epochOf(5), mesh, workers: 2 });
const program = await gang.load({ chip: counter() });
await gang.put(gang.parameter(program, "s"), arrayOf("f32", [8], new Float32Array(8)));
const bound = gang.bind(program, counts);
const counting = (async function* (): AsyncGenerator<number, never> {
  for (let step = stepIndex(0); ; step = stepIndex(step + 1)) {
    await gang.run(bound, { step });
    await gang.copy(updatesAfter(step), [handleOf("s")], updateCount(step));
    yield step + 1;
  }
})();
const count = async (): Promise<void> => {
  const { value: step } = await counting.next();
  if (step >= 3) process.stdout.write(`${JSON.stringify({ pids: gang.pids, directory: pool.directory, step })}\n`);
};
for (let i = 0; i < 3; i++) await count();
process.stdin.on("data", () => void count());
