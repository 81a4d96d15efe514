/** One long run to which random things happen, 0 to 30 seconds apart, also while it recovers from the last one. */
import { readdirSync, readFileSync } from "node:fs";
import { randomOf, redis } from "./cases.mjs";
import { percentile } from "./judge.mjs";
import { pause, until } from "./yard.mjs";

/**
 * @param {import("./yard.mjs").Yard} yard
 * @param {number} faults
 * @param {number} seed
 * @param {(line: string) => void} say
 */
export async function soak(yard, faults, seed, say, gap_ms = 30_000) {
  const random = randomOf(seed);
  const id = `soak-${seed}`;
  const endless = 1_000_000;
  await yard.start();
  await yard.client.submit({ yaml: yard.jobFile({ steps: endless, every: 50, keep: 2 }), name: id });
  await until("the first steps", async () => (await yard.client.get(id)).step > 2);
  const began = Date.now();
  const footprints = [footprint(yard)];
  /** @type {Record<string, number>} */
  const done = {};
  for (let n = 0; n < faults; n++) {
    await pause(random.integer(gap_ms));
    const what = ["worker", "worker", "both workers", "frozen worker", "coordinator", "Redis", "wipe Redis"][random.integer(7)] ?? "worker";
    done[what] = (done[what] ?? 0) + 1;
    const pids = await yard.workerPids(id).catch(() => []);
    const victim = pids[random.integer(2)];
    if (what === "worker" && victim !== undefined) kill(victim, "SIGKILL");
    else if (what === "both workers") for (const pid of pids) kill(pid, "SIGKILL");
    else if (what === "frozen worker" && victim !== undefined) kill(victim, "SIGSTOP");
    else if (what === "Redis") kill(yard.redisPid(), "SIGKILL");
    else if (what === "wipe Redis") await redis(yard, ["FLUSHALL"]).catch(() => undefined);
    else if (what === "coordinator") {
      await yard.end("SIGKILL");
      await yard.start();
    }
    const job = await yard.client.get(id).catch(() => undefined);
    if (job?.finished_at !== undefined)
      throw new Error(`fault ${n} (${what}, seed ${seed}): the job is ${job.state}: ${job.error?.message}`);
    if (n % 10 === 9) {
      footprints.push(footprint(yard));
      say(`  ${n + 1} faults, step ${job?.step ?? "?"}, goodput ${(100 * (job?.goodput?.ratio ?? 0)).toFixed(1)} %`);
    }
  }
  const last = await until("steps behind the last fault", async () => {
    const job = await yard.client.get(id).catch(() => undefined);
    return job !== undefined && job.goodput !== undefined && job.state === "running" && job;
  });
  const goal = last.step + 5;
  await until("five more steps", async () => (await yard.client.get(id)).step >= goal);
  const wall_ms = Date.now() - began;
  const { goodput } = await yard.client.get(id);
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
  const recoveries = ending.logs.flatMap(({ line, time }) => (line.startsWith("failed before step") ? [time] : []));
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
        failures: recoveries.length,
        footprints,
        rss_p99: percentile(
          footprints.map(({ rss }) => rss),
          0.99,
        ),
      },
    ],
  };
}

/** @param {number} pid @param {NodeJS.Signals} signal */
function kill(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (/** @type {any} */ (error).code !== "ESRCH") throw error;
  }
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
