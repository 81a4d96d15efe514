/**
 * The cost of durability, as a fraction of a step of `micro`, measured with and without in turn:
 *
 * - a checkpoint after every step, in a job: real coordinator, workers and disk;
 * - replicas in the workers' memory, at the interval that a run chooses.
 *
 * Measured in wall time, and in processor time of all processes of Lapidary, which depends less on other load of the machine.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { median } from "../median.mjs";
import { Ours, cpu_s } from "./ours.mjs";
import { stolen_s, waitForIdle } from "./wait-for-idle.mjs";

const built = (/** @type {string} */ name) => import(new URL(`../../packages/${name}`, import.meta.url).href);

/** Steps of a run, and its first steps, which are not counted. */
const [steps, warmUp] = [60, 15];
/** Steps of a burst, with replicas or without. All replication that starts in a burst ends in it. */
const burst = 60;

/** The overhead of a step: `wall` and `cpu` as fractions of a step without it, `stolen_ms` of all cores that the host took. @typedef {{ readonly with_s: number, readonly without_s: number, readonly wall: number, readonly cpu: number, readonly cpu_ms: number, readonly stolen_ms: number }} Cost */
/** @typedef {{ readonly checkpoints: Cost & { readonly written: number }, readonly copies: Cost & { readonly every: number } }} Durability */

/**
 * @param {number} pairs
 * @returns {Promise<Durability>}
 */
export async function measureDurability(pairs) {
  const checkpoints = await measureCheckpoints(pairs);
  return { checkpoints, copies: await measureCopies(pairs) };
}

/** A step's time, the processor time of all processes for it, and the time that the host took of all cores. @typedef {{ readonly wall_s: number, readonly cpu_s: number, readonly stolen_s: number }} Step */

/** @param {readonly { readonly with: Step, readonly without: Step }[]} found @returns {Cost} */
function costOf(found) {
  const of = (/** @type {(pair: { readonly with: Step, readonly without: Step }) => number} */ value) => median(found.map(value));
  return {
    with_s: of((pair) => pair.with.wall_s),
    without_s: of((pair) => pair.without.wall_s),
    wall: of((pair) => pair.with.wall_s / pair.without.wall_s) - 1,
    cpu: of((pair) => pair.with.cpu_s / pair.without.cpu_s) - 1,
    cpu_ms: of((pair) => pair.with.cpu_s - pair.without.cpu_s) * 1000,
    stolen_ms: of((pair) => pair.with.stolen_s - pair.without.stolen_s) * 1000,
  };
}

/** @param {number} pairs */
async function measureCheckpoints(pairs) {
  const { Harness } = await built("coordinator/dist/testing/harness.js");
  const harness = new Harness();
  try {
    const client = await harness.start();
    let written = 0;
    /** @param {string} name @param {string} checkpoint @returns {Promise<Step>} */
    const run = async (name, checkpoint) => {
      const yaml = `
model: micro
pod: v5e-256
mesh: { data: 16, model: 16 }
zero: 3
remat: dots
train: { steps: ${steps}, batch: 16, optimizer: { name: adamw, lr: 1.0e-3 } }
data: { corpus: ${harness.corpus}, held_out: 0.1, vocab: 512 }
checkpoint: ${checkpoint}
`;
      await waitForIdle();
      await client.submit({ yaml, name });
      /** @type {{ step: number, cpu_s: number, stolen_s: number }[]} */
      const samples = [];
      /** @type {number[]} */
      let pids = [];
      for await (const { event, data } of client.stream(name)) {
        if (event === "done" && data.state !== "done") throw new Error(`the run ${name} ${data.state}: ${data.error?.message ?? ""}`);
        if (event === "done") break;
        if (event !== "metrics" || data.kind !== "train" || (data.step !== warmUp && data.step !== steps - 1)) continue;
        if (pids.length === 0) pids = (await client.get(name)).workers?.map((/** @type {{ pid: number }} */ { pid }) => pid) ?? [];
        const { user, system } = process.cpuUsage();
        samples.push({
          step: data.step,
          cpu_s: (user + system) / 1e6 + pids.reduce((sum, pid) => sum + cpu_s(pid), 0),
          stolen_s: stolen_s(),
        });
      }
      const rows = readFileSync(join(harness.home, "runs", name, "metrics.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      const [first, last] = samples;
      if (first === undefined || last === undefined) throw new Error(`the run ${name} reported too few steps`);
      const lasted = rows.filter(({ kind, step }) => kind === "train" && step > warmUp).map(({ step_ms }) => step_ms / 1000);
      const each = (/** @type {"cpu_s" | "stolen_s"} */ what) => (last[what] - first[what]) / (last.step - first.step);
      return { wall_s: median(lasted), cpu_s: each("cpu_s"), stolen_s: each("stolen_s") };
    };
    /** @type {{ with: Step, without: Step }[]} */
    const found = [];
    for (let pair = 0; pair < pairs; pair++) {
      const without = await run(`never${pair}`, "{ keep: 1 }");
      found.push({ with: await run(`every${pair}`, "{ every: 1, keep: 1 }"), without });
      const { events } = await client.events(`every${pair}`);
      written += events.filter((/** @type {{ type: string }} */ { type }) => type === "checkpoint_written").length;
    }
    return { ...costOf(found), written: written / pairs };
  } finally {
    await harness.remove();
  }
}

/** @param {number} pairs */
async function measureCopies(pairs) {
  const { ReplicationInterval } = await built("trainer/dist/execution/replication-interval.js");
  const ours = await Ours.start({ model: "micro", mesh: [16, 16], batch: 16, numerics: "f32" }, { workers: 2 });
  try {
    const interval = new ReplicationInterval();
    /** @type {{ with: Step, without: Step }[]} */
    const found = [];
    await ours.burst(burst, { interval });
    /** @param {{ interval?: any }} [options] @returns {Promise<Step>} */
    const step = async (options) => {
      await waitForIdle();
      const before = stolen_s();
      const { mean_s, cpu_s: cpu } = await ours.burst(burst, options);
      return { wall_s: mean_s, cpu_s: cpu, stolen_s: (stolen_s() - before) / burst };
    };
    for (let pair = 0; pair < pairs; pair++) {
      const without = await step();
      found.push({ with: await step({ interval }), without });
    }
    return { ...costOf(found), every: interval.interval };
  } finally {
    await ours.close();
  }
}
