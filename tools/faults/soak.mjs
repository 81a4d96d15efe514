/** One long run with random faults, 0 to 30 seconds apart, also while the run recovers from the previous fault. */
import { readdirSync, readFileSync } from "node:fs";
import { isOfType } from "../../packages/api/dist/run-events.js";
import { seededRandom } from "../../packages/std/dist/index.js";
import { redis, signalTo } from "./cases/context.mjs";
import { percentile } from "./check-run.mjs";
import { sleep, waitFor } from "./test-cluster.mjs";

/** The faults. A fault that is listed twice is drawn twice as often. */
const kinds = /** @type {const} */ (["worker", "worker", "both workers", "frozen worker", "coordinator", "Redis", "wipe Redis"]);

/** Number of measurements of each fault alone. */
const soloTrials = 3;

/**
 * @param {import("./test-cluster.mjs").TestCluster} cluster
 * @param {number} faults
 * @param {number} seed
 * @param {(line: string) => void} say
 */
export async function soak(cluster, faults, seed, say, gap_ms = 30_000) {
  const random = seededRandom(seed);
  const id = `soak-${seed}`;
  const endless = 1_000_000;
  await cluster.start();
  await cluster.client.submit({ yaml: cluster.jobFile({ steps: endless, every: 50, keep: 2 }), name: id });
  await waitFor("the first steps", async () => (await cluster.client.get(id)).step > 2);
  const costs = await measureCosts(cluster, id, say);
  const before = await goodputOf(cluster, id);
  const began = Date.now();
  const footprints = [footprint(cluster)];
  /** @type {Record<string, number>} */
  const done = {};
  for (let n = 0; n < faults; n++) {
    await sleep(random.integer(gap_ms));
    const what = kinds[random.integer(kinds.length)] ?? "worker";
    done[what] = (done[what] ?? 0) + 1;
    await inflict(cluster, id, what, random.integer(2));
    const job = await cluster.client.get(id).catch(() => undefined);
    if (job?.finished_at !== undefined)
      throw new Error(`fault ${n} (${what}, seed ${seed}): the job is ${job.state}: ${job.error?.message}`);
    if (n % 10 === 9) {
      footprints.push(footprint(cluster));
      say(`  ${n + 1} faults, step ${job?.step ?? "?"}, goodput ${percent(job?.goodput?.ratio ?? 0)}`);
    }
  }
  const last = await waitFor("steps after the last fault", async () => {
    const job = await cluster.client.get(id).catch(() => undefined);
    return job !== undefined && job.goodput !== undefined && job.state === "running" && job;
  });
  const goal = last.step + 5;
  await waitFor("five more steps", async () => (await cluster.client.get(id)).step >= goal);
  const wall_ms = Date.now() - began;
  const after = await goodputOf(cluster, id);
  const goodput = (after.committed_ms - before.committed_ms) / (after.wall_ms - before.wall_ms);
  // 1 − (time to detect and recover, and work lost, by a fault) / (time between faults), minus the overhead of a run without faults.
  const lost_ms = Object.entries(done).reduce((sum, [what, count]) => sum + count * (costs.of[what] ?? 0), 0);
  const bound = 1 - costs.overhead - lost_ms / wall_ms;
  say(`  goodput ${percent(goodput)}, bound ${percent(bound)}: ${faults} faults in ${Math.round(wall_ms / 1000)} s`);
  await cluster.client.cancel(id);
  const result = await cluster.result(id);
  // The fault-free reference run of as many steps must end with the same digest.
  const compared = result.commits.length;
  await cluster.client.submit({ yaml: cluster.jobFile({ steps: compared, every: 0 }), name: `${id}-reference` });
  const reference = await cluster.result(`${id}-reference`, 3_600_000);
  const inOrder = result.rows.every((step, i) => step === i + 1);
  const problem = !inOrder
    ? "steps are missing from the metrics, or appear twice"
    : // The two runs have the same learning rates only because the schedule is constant.
      reference.commits.at(-1)?.digest === result.commits.at(-1)?.digest
      ? undefined
      : `digest ${result.digest} instead of ${reference.digest}`;
  const failures = result.events.filter(isOfType("attempt_failed")).length;
  await cluster.end();
  return {
    fault: `soak of ${faults}`,
    row: "soak",
    trials: [
      {
        seed,
        ok: problem === undefined,
        ...(problem === undefined ? {} : { problem }),
        faults: done,
        steps: compared,
        wall_ms,
        goodput,
        bound,
        costs,
        failures,
        footprints,
        rss_p99: percentile(
          footprints.map(({ rss }) => rss),
          0.99,
        ),
      },
    ],
  };
}

const percent = (/** @type {number} */ ratio) => `${(100 * ratio).toFixed(1)} %`;

/**
 * Injects one fault.
 * @param {import("./test-cluster.mjs").TestCluster} cluster
 * @param {string} id
 * @param {string} what
 * @param {number} which index of the worker
 */
async function inflict(cluster, id, what, which) {
  const pids = await cluster.workerPids(id).catch(() => []);
  const victim = pids[which];
  if (what === "worker" && victim !== undefined) signalTo(victim, "SIGKILL");
  else if (what === "both workers") for (const pid of pids) signalTo(pid, "SIGKILL");
  else if (what === "frozen worker" && victim !== undefined) signalTo(victim, "SIGSTOP");
  else if (what === "Redis") signalTo(cluster.redisPid(), "SIGKILL");
  else if (what === "wipe Redis") await redis(cluster, ["FLUSHALL"]).catch(() => undefined);
  else if (what === "coordinator") {
    await cluster.end("SIGKILL");
    await cluster.start();
  }
}

/**
 * Measures the cost of each fault alone: milliseconds that did not go into committed steps (detection, recovery, lost steps). Also measures the overhead: the
 * share of time that a fault-free run spends outside of steps (checkpoints).
 * @param {import("./test-cluster.mjs").TestCluster} cluster
 * @param {string} id
 * @param {(line: string) => void} say
 * @returns {Promise<{ overhead: number, of: Record<string, number> }>}
 */
async function measureCosts(cluster, id, say) {
  const during = async (/** @type {() => Promise<void>} */ work) => {
    const from = await goodputOf(cluster, id);
    await work();
    const to = await goodputOf(cluster, id);
    const wall = to.wall_ms - from.wall_ms;
    return { wall, lost: wall - (to.committed_ms - from.committed_ms) };
  };
  const steps = async (/** @type {number} */ more) => {
    const { step } = await cluster.client.get(id);
    await waitFor(
      `${more} more steps`,
      async () => ((await cluster.client.get(id).catch(() => undefined))?.step ?? 0) >= step + more,
      60_000,
    );
  };
  const faultFree = await during(() => steps(150));
  const overhead = faultFree.lost / faultFree.wall;
  /** @type {Record<string, number>} */
  const of = {};
  for (const what of new Set(kinds)) {
    let sum = 0;
    for (let i = 0; i < soloTrials; i++) {
      await steps(10);
      const { wall, lost } = await during(async () => {
        await inflict(cluster, id, what, i % 2);
        // The coordinator detects a frozen worker only after seconds.
        await sleep(what === "frozen worker" ? 6000 : 1500);
        await steps(10);
      });
      sum += lost - overhead * wall;
    }
    of[what] = Math.max(0, sum / soloTrials);
    say(`  alone, ${what} costs ${Math.round(of[what] ?? 0)} ms`);
  }
  return { overhead, of };
}

/**
 * @param {import("./test-cluster.mjs").TestCluster} cluster
 * @param {string} id
 */
async function goodputOf(cluster, id) {
  return waitFor("the run's goodput", async () => {
    const job = await cluster.client.get(id).catch(() => undefined);
    return job?.state === "running" ? job.goodput : undefined;
  });
}

/**
 * Memory and descriptors of the coordinator.
 * @param {import("./test-cluster.mjs").TestCluster} cluster
 */
function footprint(cluster) {
  const pid = cluster.coordinator?.pid ?? 0;
  const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  return { rss, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}
