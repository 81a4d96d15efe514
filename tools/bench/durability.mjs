/**
 * What durability costs: steps of `micro` with a checkpoint behind every one of them beside steps without, by the clock on the wall, in turn. Real coordinator, workers and disk.
 *
 * Copies in the workers' memory are made in both: their share of a step is bounded by how often they are made (`copy-pace.ts`, 3 %).
 */
import { join } from "node:path";
import { readFileSync } from "node:fs";

const harness = () => import(new URL("../../packages/coordinator/dist/testing/harness.js", import.meta.url).href);

/** Steps of a run, and those at its beginning that are not counted. */
const [steps, warmUp] = [50, 10];

/** @typedef {{ readonly every_s: number, readonly never_s: number, readonly cost: number, readonly checkpoints: number }} Durability */

/**
 * @param {number} pairs
 * @returns {Promise<Durability>}
 */
export async function measureDurability(pairs) {
  const { Harness, endOf } = await harness();
  const yard = new Harness();
  try {
    const client = await yard.start();
    let written = 0;
    const run = async (/** @type {string} */ name, /** @type {string} */ checkpoint) => {
      const yaml = `
model: micro
pod: v5e-256
mesh: { data: 16, model: 16 }
zero: 3
remat: dots
train: { steps: ${steps}, batch: 16, optimizer: { name: adamw, lr: 1.0e-3 } }
data: { corpus: ${yard.corpus}, held_out: 0.1, vocab: 512 }
checkpoint: ${checkpoint}
`;
      await client.submit({ yaml, name });
      const { state, error } = await endOf(client, name);
      if (state !== "done") throw new Error(`the run ${name} ${state}: ${error?.message ?? ""}`);
      const rows = readFileSync(join(yard.home, "runs", name, "metrics.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      const train = rows.filter(({ kind }) => kind === "train");
      return (train.at(-1).time - train[warmUp].time) / 1000 / (train.length - 1 - warmUp);
    };
    /** @type {{ every: number, never: number }[]} */
    const found = [];
    for (let pair = 0; pair < pairs; pair++) {
      const never = await run(`never${pair}`, "{ keep: 1 }");
      const every = await run(`every${pair}`, "{ every: 1, keep: 1 }");
      const { lines } = await client.logs(`every${pair}`, { limit: 1000 });
      written += lines.filter((/** @type {{ line: string }} */ { line }) => /^checkpoint/.test(line)).length;
      found.push({ every, never });
    }
    const middle = (/** @type {readonly number[]} */ list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? NaN;
    return {
      every_s: middle(found.map(({ every }) => every)),
      never_s: middle(found.map(({ never }) => never)),
      cost: middle(found.map(({ every, never }) => every / never)) - 1,
      checkpoints: written / pairs,
    };
  } finally {
    await yard.remove();
  }
}
