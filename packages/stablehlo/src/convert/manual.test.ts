import { deepEqual, match, strictEqual } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { checkExported, exportedValues } from "../testing/exported.js";
import { goldenText, goldenTexts } from "../testing/golden.js";
import { importStep } from "./import-step.js";

/** Regions that JAX exported on a mesh of 4×2, with the arrays that JAX computed on 8 devices. */
const values = exportedValues("regions");

describe("shard_map regions", () => {
  for (const [name, each] of Object.entries(values))
    it(`${name}: the region computes what JAX computes on 8 devices`, () => checkExported(`regions/${name}.mlir`, each));

  it("there are values for every text", () =>
    deepEqual(
      goldenTexts().filter((path) => path.startsWith("regions/")),
      Object.keys(values)
        .map((name) => `regions/${name}.mlir`)
        .sort(),
    ));

  it("groups that are not those of axes, and an operation without a rule, are refused with their line", () => {
    const failure = (text: string): LapidaryError => {
      try {
        importStep(text, "t.mlir");
      } catch (error) {
        if (error instanceof LapidaryError) return error;
        throw error;
      }
      throw new Error("the text was converted");
    };
    const psum = goldenText("regions/psum.mlir");
    const groups = failure(psum.replace(/replica_groups = dense<[^>]*>/, "replica_groups = dense<[[0, 1, 2, 5], [3, 4, 6, 7]]>"));
    strictEqual(groups.code, "LAP_IMPORT_OP");
    match(groups.message, /all_reduce: its groups are not those of axes of the mesh \(once, first at line \d+, from regions.py:\d+\)/);
    const pairs = goldenText("regions/permute.mlir").replace(
      /source_target_pairs = dense<\[\[0, 2\]/,
      "source_target_pairs = dense<[[0, 3]",
    );
    match(failure(pairs).message, /collective_permute: its pairs are not along one axis/);
  });
});
