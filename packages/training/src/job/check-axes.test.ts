import { deepStrictEqual, match, ok, throws } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LapidaryError } from "@lapidary/std";
import { axisMeaning } from "./axis-names.js";
import { resolveJob } from "./load-job.js";
import type { ResolvedJob } from "./resolved-job.js";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
const text = `model: { vocab_size: 512, model_dim: 64, layers: 1, heads: 4, kv_heads: 1, head_dim: 16, mlp_dim: 128, context_length: 64 }
pod: { name: small, torus: 4x4, chip: v5e, host: 4x2 }
mesh: { data: 4, model: 4 }
train: { steps: 4, batch: 16, seq: 32, optimizer: { name: adamw, lr: 1e-3 } }
`;
const resolved = (of = text, ...overrides: string[]): ResolvedJob =>
  resolveJob({ text: of, file: "job.yaml", base: "/jobs" }, overrides, { configsDir: join(root, "configs"), base: "/work/here" });

function refusal(run: () => unknown): LapidaryError {
  let found: LapidaryError | undefined;
  throws(run, (error) => {
    ok(error instanceof LapidaryError, String(error));
    found = error;
    return true;
  });
  return found as unknown as LapidaryError;
}

describe("mesh axes", () => {
  it("a mesh axis that no rule names is rejected at its location, and the remedy has the known name", () => {
    const error = refusal(() => resolved(text.replace("data: 4, model: 4", "fsdp: 4, tensor: 4")));
    deepStrictEqual([error.code, error.exit, error.location], ["LAP_MESH_AXIS_UNKNOWN", 2, "job.yaml:3:9"]);
    match(error.message, /"fsdp" \(4 chips\) and "tensor" \(4 chips\)/);
    match(error.remedy, /in Lapidary, fsdp is "data", tensor is "model": mesh=\{data: 4, model: 4\}; for fsdp: `zero: 3`/);
  });

  it("the remedy merges axes with the same known name, and names an indivisible batch", () => {
    const error = refusal(() => resolved(text, "mesh={data: 4, fsdp: 4}", "train.batch=8"));
    match(error.remedy, /mesh=\{data: 16\}, with a train.batch that is a multiple of 16/);
    match(refusal(() => resolved(text, "mesh={data: 4, tp: 2, sp: 2}")).remedy, /mesh=\{data: 4, model: 4\}.*activation_seq: model/);
  });

  it("the remedy for an unknown axis name lists the known axes and the settings that use the axis", () => {
    match(
      refusal(() => resolved(text, "mesh={blue: 16}")).remedy,
      /pod, stage, data, expert, context, model.*rules.batch=\[blue\].*replicate=\[blue\]/,
    );
  });

  it("a mesh axis is accepted if a rule names it, replicate lists it, or it has one chip", () => {
    deepStrictEqual(resolved(text, "mesh={dp: 4, model: 4}", "rules.batch=dp").rules["batch"], ["dp"]);
    deepStrictEqual(resolved(text, "mesh={data: 4, spare: 4}", "replicate=[spare]").replicate, ["spare"]);
    deepStrictEqual(resolved(text, "mesh={data: 16, stage: 1}").mesh.length, 2);
  });

  it("an axis under replicate must be in the mesh, and no rule may split over it", () => {
    deepStrictEqual(refusal(() => resolved(text, "replicate=[spare]")).code, "LAP_MESH_AXIS_UNKNOWN");
    deepStrictEqual(refusal(() => resolved(text, "replicate=[data]")).code, "LAP_MESH_REPLICATE");
  });

  it("a rule that names an axis the mesh lacks is rejected with the intended axis", () => {
    match(refusal(() => resolved(text, "rules.heads=tensor")).remedy, /did you mean "model"/);
    match(refusal(() => resolved(text, "rules.batch=[data, fsdp]")).remedy, /did you mean "data"/);
    match(refusal(() => resolved(text, "mesh={data: 16}", "rules.heads=model")).remedy, /add the axis "model" to the mesh/);
  });

  it("a strategy may name pod, data and model that the mesh lacks, but no other axis", () => {
    const directory = mkdtempSync(join(tmpdir(), "lapidary-strategy-"));
    try {
      const mine = join(directory, "mine.yaml");
      writeFileSync(mine, "rules: { batch: [pod, data], mlp: tensor }\n");
      const error = refusal(() => resolved(text, `strategy=${mine}`));
      deepStrictEqual([error.code, error.location], ["LAP_MESH_AXIS_UNKNOWN", `override strategy=${mine}`]);
      match(error.message, /rule mlp of the strategy mine names the mesh axis "tensor"/);
      match(error.remedy, /did you mean "model"/);
      writeFileSync(mine, "rules: { batch: [pod, data], mlp: model }\n");
      deepStrictEqual(resolved(text, `strategy=${mine}`, "mesh={data: 16}").unapplied, { mlp: ["model"] });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("axisMeaning knows the axis names of other systems", () => {
    for (const [known, names] of [
      ["data", "fsdp fsdp_transpose dp data_parallel ici_fsdp_parallelism dp_shard replica zero dta"],
      ["stage", "stage stages pp pipeline pipeline_parallel_degree ici_pipeline_parallelism dcn_pipeline_parallelism"],
      ["expert", "expert experts ep moe expert_parallel_degree ici_expert_parallelism"],
      ["context", "context cp ring context_parallel_degree context_parallel_size"],
      ["model", "tensor tp mp mdl tensor_parallel tensor_model_parallel_size sp sequence autoregressive modle tensor_sequence"],
      ["pod", "dcn dcn_data_parallelism replica_dcn slice"],
    ] as const)
      for (const name of names.split(" ")) deepStrictEqual([name, axisMeaning(name)?.axis], [name, known]);
    for (const name of ["x", "row", "blue"]) deepStrictEqual(axisMeaning(name), undefined);
  });
});

describe("the job's own rules", () => {
  it("an own rule without effect is rejected at its location with a size that fits", () => {
    const error = refusal(() => resolved(text.replace("512", "513"), "rules.vocab=model"));
    deepStrictEqual([error.code, error.exit, error.location], ["LAP_MESH_INDIVISIBLE", 4, "override rules.vocab=model"]);
    match(`${error.message} ${error.remedy}`, /513 is not divisible by any sub-axis of model = 4.*516/);
    deepStrictEqual(refusal(() => resolved(text, "train.seq=33", "rules.activation_seq=model")).code, "LAP_MESH_INDIVISIBLE");
  });
});

describe("batch_per_chip", () => {
  const rows = (perChip: string, ...overrides: string[]): number =>
    resolved(text.replace("batch: 16", `batch_per_chip: ${perChip}`), ...overrides).train.batch;

  it("batch_per_chip gives the rows of all chips and rounds decimal fractions", () => {
    deepStrictEqual([rows("1"), rows("0.25"), rows("2.75"), rows("1e-9", "train.batch_per_chip=0.5")], [16, 4, 44, 8]);
    const thirty = ["pod={name: p, torus: 5x6, chip: v5e, host: 5x6}", "mesh={data: 3, model: 10}"];
    deepStrictEqual(rows("0.1", ...thirty), 3);
    deepStrictEqual(rows("0.5", "pods=2", "mesh={pod: 2, data: 4, model: 4}"), 16);
  });

  it("batch_per_chip is rejected at its location if the number of rows is not a positive integer", () => {
    for (const [fraction, message, remedy] of [
      ["0.001", /0.016 rows, not a whole number/, /0.25 \(4 rows\) or 0.5 \(8 rows\)/],
      ["0.3", /4.8 rows/, /0.25 \(4 rows\) or 0.5 \(8 rows\)/],
      ["1e-12", /1.6e-11 rows/, /0.25/],
      ["0.99", /15.84 rows/, /0.75 \(12 rows\) or 1 \(16 rows\)/],
    ] as const) {
      const error = refusal(() => rows(fraction));
      deepStrictEqual([error.code, error.exit, error.location], ["LAP_CONFIG_VALUE", 2, "job.yaml:4:20"]);
      match(error.message, message);
      match(error.remedy, remedy);
    }
  });

  it("batch_per_chip is rejected at its location if the mesh does not divide the rows, or if it is not positive", () => {
    const error = refusal(() => rows("0.3125"));
    deepStrictEqual([error.code, error.exit, error.location], ["LAP_MESH_INDIVISIBLE", 4, "job.yaml:4:20"]);
    match(error.message, /a batch of 5 rows is not divisible by data = 4/);
    deepStrictEqual(refusal(() => rows("0")).code, "LAP_CONFIG_VALUE");
    deepStrictEqual(refusal(() => rows("-1")).code, "LAP_CONFIG_VALUE");
    deepStrictEqual(
      refusal(() => resolved(text, "slice=2x2", "train.batch=null", "train.batch_per_chip=0.25")).code,
      "LAP_MESH_DOES_NOT_FILL",
    );
  });

  it("the remedy names a fraction that is accepted for any number of chips", () => {
    const odd = ["pod={name: p, torus: 7x7, chip: v5e, host: 7x7}", "mesh={data: 7, model: 7}"];
    const [, named = ""] = /use ([0-9.e-]+) /.exec(refusal(() => rows("0.01", ...odd)).remedy) ?? [];
    deepStrictEqual(rows(named, ...odd), 7);
  });
});
