import { deepEqual, match, ok, strictEqual } from "node:assert/strict";
import { interpret, tensor } from "@lapidary/ir";
import { LapidaryError } from "@lapidary/std";
import { goldenText, goldenTexts } from "../testing/golden.js";
import { importStep } from "./import-step.js";

interface Values {
  readonly args: readonly (readonly number[])[];
  readonly out: readonly number[];
}

/** Regions that JAX exported on a mesh of 4×2, with the arrays that JAX computed on 8 devices. */
const values = JSON.parse(goldenText("regions/values.json")) as Readonly<Record<string, Values>>;

describe("shard_map regions", () => {
  for (const [name, { args, out }] of Object.entries(values))
    it(`${name}: the region computes what JAX computes on 8 devices`, () => {
      const step = importStep(goldenText(`regions/${name}.mlir`), name);
      const inputs = new Map(
        step.arguments.map(({ name: leaf, type }, i) => [leaf, tensor(type.dtype, type.dims, Float64Array.from(args[i] ?? []))]),
      );
      const got = [...interpret(step.graph, inputs).values()].at(-1)?.data ?? [];
      strictEqual(got.length, out.length);
      out.forEach((want, i) => ok(Math.abs(want - (got[i] ?? Number.NaN)) < 1e-5, `element ${i} is ${got[i]}, JAX has ${want}`));
    });

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
