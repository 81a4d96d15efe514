import { deepStrictEqual, ok } from "node:assert/strict";
import { runPython } from "./testing/python.js";
import type { TpuReport } from "./run-tpu-compiler.js";

const labels = [
  ["layers.*.attn", "forward"],
  ["logits", "forward"],
];
const bundle = {
  job: "big",
  slice: "16x16",
  slices: 1,
  packages: { libtpu: "0" },
  labels,
  modules: { whole: { file: "whole.mlir", values: [0, 1], arguments: { "params/w": 1 } } },
  plans: {
    v5e: {
      hbm_limit: 10_000,
      hbm_bytes_peak: 2000,
      collectives: [
        { op: "all_gather", axis: "data", bytes_per_chip: 900 },
        { op: "reduce_scatter", axis: "data", bytes_per_chip: 77 },
      ],
      cycles: [{ name: "logits", phase: "forward", cycles: 5 }],
      largest: [{ bytes: 9, name: "logits#1", shape: "f32[3]" }],
    },
  },
};
/** What the compiler prints. */
const compiled = {
  compile_s: 3,
  memory: { arguments: 1000, outputs: 1008, aliased: 1000, temporary: 250, code: 1 },
  collectives: [
    { op: "all_gather", axes: ["data"], bytes: 30, runs: 18 },
    { op: "all_gather", axes: ["data"], bytes: 30, runs: 2 },
  ],
  cycles: [
    { name: "layers.0.attn.out#0", cycles: 30 },
    { name: "layers.0.attn.out#0", cycles: 40 },
    { name: "logits#1", cycles: 40 },
    { name: "copy.4", cycles: 3 },
    { name: "call.2/params/w", cycles: 11 },
  ],
};

const report = (chip: string, result: object): TpuReport =>
  runPython(
    `from lapidary_xla.tpu_report import make_report
print(json.dumps(make_report(given["bundle"], given["chip"], "whole", given["result"])))`,
    { bundle, chip, result },
  ) as TpuReport;

describe("the report of the TPU compiler", () => {
  it("the peak counts arguments, temporaries, and the outputs that replace no argument", () => {
    deepStrictEqual(report("v5e", compiled).hbm_bytes, { arguments: 1000, outputs: 1008, temporary: 250, peak: 1258 });
  });

  it("a collective that only one side has is in the report, with zero on the other side", () => {
    deepStrictEqual(report("v5e", compiled).collectives, [
      { op: "all_gather", axis: "data", count: 20, bytes_per_chip: 600, plan_bytes_per_chip: 900 },
      { op: "reduce_scatter", axis: "data", count: 0, bytes_per_chip: 0, plan_bytes_per_chip: 77 },
    ]);
  });

  it("cycles are added by part of the model, and operations without a name of ours are the compiler's", () => {
    deepStrictEqual(
      report("v5e", compiled).cycles.map(({ name, xla, plan }) => [name, xla, plan]),
      [
        ["layers.*.attn", 70, 0],
        ["logits", 51, 5],
        ["compiler", 3, 0],
      ],
    );
  });

  it("a program that does not fit has the compiler's peak and no parts", () => {
    const found = report("v5e", { compile_s: 1, does_not_fit: { used: 12_345, limit: 10_000, buffers: [] } });
    deepStrictEqual(found.hbm_bytes, { arguments: null, outputs: null, temporary: null, peak: 12_345 });
    ok(!found.fits && found.collectives.length === 0);
  });

  it("if the compiler names no buffers, the largest values of our plan are named", () => {
    const buffersOf = (buffers: object[]): unknown =>
      runPython(
        `from lapidary_xla.tpu_report import shortage
print(json.dumps(shortage(given["bundle"], "v5e", given["result"])["buffers"]))`,
        { bundle, result: { does_not_fit: { used: 2, limit: 1, buffers } } },
      );
    deepStrictEqual(buffersOf([]), bundle.plans.v5e.largest);
    const theirs = [{ bytes: 8, name: "copy", shape: "" }];
    deepStrictEqual(buffersOf(theirs), theirs);
  });

  it("a chip without a plan in the export has the compiler's column alone", () => {
    const found = report("v6e", compiled);
    deepStrictEqual([found.plan_hbm_bytes_peak, found.collectives[0]?.plan_bytes_per_chip], [null, 0]);
  });
});
