import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LapidaryError } from "@lapidary/std";
import fc from "fast-check";
import { resolveJob } from "./load-job.js";
import { compileOptions, printJob, type ResolvedJob } from "./resolved-job.js";
import { traceJob } from "./compile-job.js";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
const base = `model: nano16
pod: v5e-256
mesh: { data: 16, model: 16 }
train:
  steps: 10
  batch: 96
  seq: 8
  optimizer: { name: adamw, lr: 1e-3 }
`;
const resolved = (...overrides: string[]): ResolvedJob =>
  resolveJob({ text: base, file: "jobs/mine.yaml", base: "/jobs" }, overrides, { configsDir: join(root, "configs"), base: "/work/here" });

function errorOf(...overrides: string[]): LapidaryError {
  try {
    resolved(...overrides);
  } catch (error) {
    ok(error instanceof LapidaryError, String(error));
    return error;
  }
  throw new Error(`no error for ${overrides.join(" ")}`);
}

describe("microbatches in job files", () => {
  it("a job resolves with the number of parts, which its printed form keeps", () => {
    const job = resolved("train.microbatches=3", "train.gradient_sums=whole", "zero=2");
    deepStrictEqual([job.train.microbatches, job.train.gradient_sums], [3, "whole"]);
    match(printJob(job), /microbatches: 3\n {2}gradient_sums: whole/);
    const graph = traceJob(job);
    strictEqual(graph.values.find(({ op }) => op === "carry")?.scope.region?.count, 3);
    strictEqual(compileOptions(job, graph).gradientSums, "whole");
  });

  it("parts that do not divide the rows of a data shard are refused, with the nearest numbers that do", () => {
    const { code, exit, location, message, remedy } = errorOf("train.microbatches=4");
    deepStrictEqual([code, exit, location], ["LAP_MESH_INDIVISIBLE", 4, "override train.microbatches=4"]);
    match(message, /does not divide the 6 rows/);
    match(remedy, /use 3 or 6 microbatches, or a batch of 128 rows/);
    match(errorOf("train.microbatches=7").remedy, /use 6 microbatches/);
  });

  it("every remedy of a refusal is a job that resolves", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 12 }), (microbatches, rows) => {
        const overrides = [`train.batch=${16 * rows}`, `train.microbatches=${microbatches}`];
        if (rows % microbatches === 0) return void resolved(...overrides);
        const { remedy } = errorOf(...overrides);
        const [, counts = "", batch = ""] = /^use ([\d or]+) microbatches, or a batch of (\d+) rows$/.exec(remedy) ?? [];
        for (const count of counts.split(" or ")) resolved(`train.batch=${16 * rows}`, `train.microbatches=${count}`);
        resolved(`train.batch=${batch}`, `train.microbatches=${microbatches}`);
      }),
      { numRuns: 40 },
    );
  });

  it("recipes without a loss over tokens of a corpus or examples refuse the keys", () => {
    for (const key of ["microbatches=2", "gradient_sums=whole"]) {
      const error = errorOf("recipe=dpo", `train.${key}`);
      deepStrictEqual([error.code, error.exit], ["LAP_CONFIG_VALUE", 2]);
      match(error.message, /is not a key of the recipe dpo/);
    }
  });

  for (const [key, remedy] of [
    ["train.gradient_accumulation_steps", /train\.microbatches: N/],
    ["gradient_accumulation_steps", /train\.microbatches: N/],
    ["train.accumulate_grad_batches", /train\.microbatches: N/],
    ["train.num-microbatches", /train\.microbatches: N/],
    ["train.global_batch_size", /train\.batch: N/],
    ["train.per_device_train_batch_size", /train\.batch_per_chip/],
    ["train.micro_batch_size", /train\.microbatches: N/],
  ] as const)
    it(`${key} of another system is refused with the key of this one`, () => {
      const error = errorOf(`${key}=4`);
      deepStrictEqual([error.code, error.exit], ["LAP_CONFIG_UNKNOWN_KEY", 2]);
      match(error.remedy, remedy);
    });

  it("a number of parts below one is refused", () => {
    throws(() => resolved("train.microbatches=0"), { code: "LAP_CONFIG_VALUE" });
  });
});
