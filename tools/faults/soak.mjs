/** One long run to which random things happen, 0 to 30 seconds apart, also while it recovers from the last one. */
import { readdirSync, readFileSync } from "node:fs";
import { isOfType } from "../../packages/api/dist/run-events.js";
import { seededRandom } from "../../packages/std/dist/index.js";
import { redis, signalTo } from "./cases/scene.mjs";
import { percentile } from "./judge.mjs";
import { pause, until } from "./yard.mjs";

/** What happens, as often as it stands here. */
const kinds = /** @type {const} */ (["worker", "worker", "both workers", "frozen worker", "coordinator", "Redis", "wipe Redis"]);

/** What one fault of a kind costs is measured so often, alone. */
const alone = 3;

/**
 * @param {import("./yard.mjs").Yard} yard
 * @param {number} faults
 * @param {number} seed
 * @param {(line: string) => void} say
 */
export async function soak(yard, faults, seed, say, gap_ms = 30_000) {
  const random = seededRandom(seed);
  const id = `soak-${seed}`;
  const endless = 1_000_000;
  await yard.start();
  await yard.client.submit({ yaml: yard.jobFile({ steps: endless, every: 50, keep: 2 }), name: id });
  await until("the first steps", async () => (await yard.client.get(id)).step > 2);
  const costs = await measureCosts(yard, id, say);
  const before = await goodputOf(yard, id);
  const began = Date.now();
  const footprints = [footprint(yard)];
  /** @type {Record<string, number>} */
  const done = {};
  for (let n = 0; n < faults; n++) {
    await pause(random.integer(gap_ms));
    const what = kinds[random.integer(kinds.length)] ?? "worker";
    done[what] = (done[what] ?? 0) + 1;
    await inflict(yard, id, what, random.integer(2));
    const job = await yard.client.get(id).catch(() => undefined);
    if (job?.finished_at !== undefined)
      throw new Error(`fault ${n} (${what}, seed ${seed}): the job is ${job.state}: ${job.error?.message}`);
    if (n % 10 === 9) {
      footprints.push(footprint(yard));
      say(`  ${n + 1} faults, step ${job?.step ?? "?"}, goodput ${percent(job?.goodput?.ratio ?? 0)}`);
    }
  }
  const last = await until("steps behind the last fault", async () => {
    const job = await yard.client.get(id).catch(() => undefined);
    return job !== undefined && job.goodput !== undefined && job.state === "running" && job;
  });
  const goal = last.step + 5;
  await until("five more steps", async () => (await yard.client.get(id)).step >= goal);
  const wall_ms = Date.now() - began;
  const after = await goodputOf(yard, id);
  const goodput = (after.committed_ms - before.committed_ms) / (after.wall_ms - before.wall_ms);
  // 1 − (time to detect and recover, and work lost, by a fault) / (time between faults), beside what a run without faults has.
  const lost_ms = Object.entries(done).reduce((sum, [what, count]) => sum + count * (costs.of[what] ?? 0), 0);
  const bound = 1 - costs.quiet - lost_ms / wall_ms;
  say(`  goodput ${percent(goodput)}, bound ${percent(bound)}: ${faults} faults in ${Math.round(wall_ms / 1000)} s`);
  await yard.client.cancel(id);
  const ending = await yard.ending(id);
  // The quiet run of as many steps: the same digest at its end.
  const compared = ending.commits.length;
  await yard.client.submit({ yaml: yard.jobFile({ steps: compared, every: 0 }), name: `${id}-quiet` });
  const quiet = await yard.ending(`${id}-quiet`, 3_600_000);
  const inOrder = ending.rows.every((step, i) => step === i + 1);
  const problem = !inOrder
    ? "steps were told twice or not at all"
    : // The learning rate depends on how many steps there are in all; it is the same up to there only for a constant schedule.
      quiet.commits.at(-1)?.digest === ending.commits.at(-1)?.digest
      ? undefined
      : `digest ${ending.digest} instead of ${quiet.digest}`;
  const failures = ending.events.filter(isOfType("attempt_failed")).length;
  await yard.end();
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
 * One fault.
 * @param {import("./yard.mjs").Yard} yard
 * @param {string} id
 * @param {string} what
 * @param {number} which of the workers
 */
async function inflict(yard, id, what, which) {
  const pids = await yard.workerPids(id).catch(() => []);
  const victim = pids[which];
  if (what === "worker" && victim !== undefined) signalTo(victim, "SIGKILL");
  else if (what === "both workers") for (const pid of pids) signalTo(pid, "SIGKILL");
  else if (what === "frozen worker" && victim !== undefined) signalTo(victim, "SIGSTOP");
  else if (what === "Redis") signalTo(yard.redisPid(), "SIGKILL");
  else if (what === "wipe Redis") await redis(yard, ["FLUSHALL"]).catch(() => undefined);
  else if (what === "coordinator") {
    await yard.end("SIGKILL");
    await yard.start();
  }
}

/**
 * What a fault of each kind costs when it comes alone, in milliseconds of a run's time that did not go into steps that count (detecting, recovering, steps lost), and which share
 * of its time goes elsewhere (checkpoints) in a run to which nothing is done.
 * @param {import("./yard.mjs").Yard} yard
 * @param {string} id
 * @param {(line: string) => void} say
 * @returns {Promise<{ quiet: number, of: Record<string, number> }>}
 */
async function measureCosts(yard, id, say) {
  const during = async (/** @type {() => Promise<void>} */ work) => {
    const from = await goodputOf(yard, id);
    await work();
    const to = await goodputOf(yard, id);
    const wall = to.wall_ms - from.wall_ms;
    return { wall, lost: wall - (to.committed_ms - from.committed_ms) };
  };
  const steps = async (/** @type {number} */ more) => {
    const { step } = await yard.client.get(id);
    await until(`${more} more steps`, async () => ((await yard.client.get(id).catch(() => undefined))?.step ?? 0) >= step + more, 60_000);
  };
  const calm = await during(() => steps(150));
  const quiet = calm.lost / calm.wall;
  /** @type {Record<string, number>} */
  const of = {};
  for (const what of new Set(kinds)) {
    let sum = 0;
    for (let i = 0; i < alone; i++) {
      await steps(10);
      const { wall, lost } = await during(async () => {
        await inflict(yard, id, what, i % 2);
        // What is found out after seconds of silence is not to be missed.
        await pause(what === "frozen worker" ? 6000 : 1500);
        await steps(10);
      });
      sum += lost - quiet * wall;
    }
    of[what] = Math.max(0, sum / alone);
    say(`  alone, ${what} costs ${Math.round(of[what] ?? 0)} ms`);
  }
  return { quiet, of };
}

/**
 * @param {import("./yard.mjs").Yard} yard
 * @param {string} id
 */
async function goodputOf(yard, id) {
  return until("the run's goodput", async () => {
    const job = await yard.client.get(id).catch(() => undefined);
    return job?.state === "running" ? job.goodput : undefined;
  });
}

/**
 * Memory and descriptors of the coordinator.
 * @param {import("./yard.mjs").Yard} yard
 */
function footprint(yard) {
  const pid = yard.coordinator?.pid ?? 0;
  const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  return { rss, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}
