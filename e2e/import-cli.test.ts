import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileStepFile, explainStepFile, planStepFile, type StepFile } from "@lapidary/offline/step-file";
import { LapidaryError } from "@lapidary/std";
import { printMesh } from "@lapidary/topology";
import { root } from "./support/cli.js";

const golden = (name: string): string => join("e2e/golden/stablehlo", name);
const read = (name: string, ...words: string[]): StepFile => compileStepFile(golden(name), root, words);

function failure(run: () => unknown): LapidaryError {
  try {
    run();
  } catch (error) {
    if (error instanceof LapidaryError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("explain and plan of a step that JAX exported", function () {
  this.timeout(120_000);

  it("every collective has a cause, and the line of the user's program if the text has locations", () => {
    const { collectives } = explainStepFile(read("llama_fsdp8/step.loc.mlir"));
    ok(collectives.length > 0);
    for (const { why, source, value } of collectives) {
      ok(why !== "", value);
      match(source ?? "", /\.py:\d+$/, value);
    }
    deepStrictEqual(new Set(collectives.map(({ axis }) => axis)), new Set(["data"]));
  });

  it("a plan is for the mesh of the text, and its parts add up to the step", () => {
    const subject = read("llama_fsdp8/step.loc.mlir");
    const { report } = planStepFile(subject, root);
    strictEqual(report.chips, 8);
    ok(report.fits && report.step_time_s > 0 && report.hbm_bytes.peak > 0);
  });

  it("the types of the text are those on links, and a gathered operand of a matmul is bf16", () => {
    const subject = read("plans/gemma_7b_4096.mlir");
    const { report } = planStepFile(subject, root);
    const sent = (op: string, axis: string): number =>
      report.collectives.find((c) => c.op === op && c.axis === axis)?.sent_bytes_per_chip ?? 0;
    // Forward 2, recompute 1 and backward 2 sums of the residual stream a layer, and 6 others.
    strictEqual(report.collectives.find(({ op, axis }) => op === "all_reduce" && axis === "model")?.count, 28 * 5 + 6);
    const stream = 2 * 8192 * 3072 * 4 * (15 / 16);
    ok(sent("all_reduce", "model") > 28 * 5 * stream && sent("all_reduce", "model") < 28 * 5.2 * stream);
    const layer = 3072 * (16 * 256 * 4 + 24576 * 3);
    const gathered = (28 * 3 * layer * 2 * (15 / 16)) / 16;
    ok(Math.abs(sent("all_gather", "data") / gathered - 1) < 0.2);
    strictEqual(report.hbm_error, null);
  });

  it("a text without a mesh is split from outside, by the name of an argument in either form", () => {
    const whole = read("gpt_adamw/step.loc.mlir");
    strictEqual(explainStepFile(whole).collectives.length, 0);
    const rows = whole.step.arguments.find(({ role }) => role === "batch");
    for (const name of [rows?.name, rows?.leaf]) {
      const split = read("gpt_adamw/step.loc.mlir", "mesh.data=4", `shard.${name ?? ""}=data,-`);
      strictEqual(printMesh(split.mesh), "data=4");
      ok(explainStepFile(split).collectives.some(({ op, axis }) => op === "all_reduce" && axis === "data"));
      ok(planStepFile(split, root).report.chips === 4);
    }
  });

  it("a mesh that contradicts the text, an unknown argument and an axis that does not divide are refused", () => {
    strictEqual(failure(() => read("llama_fsdp8/step.loc.mlir", "mesh.data=4")).code, "LAP_IMPORT_SHARDING");
    strictEqual(failure(() => read("gpt_adamw/step.loc.mlir", "mesh.data=4", "shard.unknown=data")).code, "LAP_IMPORT_SHARDING");
    strictEqual(failure(() => read("mlp_sgd/step.mlir", "mesh.data=3", "shard.arg6=data,-")).code, "LAP_MESH_INDIVISIBLE");
    strictEqual(failure(() => read("mlp_sgd/step.mlir", "train.steps=3")).code, "LAP_CONFIG_OVERRIDE");
  });

  it("bytecode, a missing file and operations without a conversion are refused", () => {
    const directory = mkdtempSync(join(tmpdir(), "lapidary-import-"));
    try {
      writeFileSync(join(directory, "step.mlir"), Buffer.from("4d4cef520001", "hex"));
      strictEqual(failure(() => compileStepFile("step.mlir", directory, [])).code, "LAP_IMPORT_BYTECODE");
      ok(failure(() => compileStepFile("none.mlir", directory, [])).exit !== 0);
      const { code, message } = failure(() => read("forms/jax-0.10.2.pallas.mlir"));
      strictEqual(code, "LAP_IMPORT_OP");
      match(message, /custom_call: a call of @tpu_custom_call is not supported \(once, first at line 7/);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
