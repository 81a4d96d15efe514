import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { compile, type Program, verifyMemory } from "@lapidary/compiler";
import { randomCase } from "@lapidary/compiler/testing";
import { ensure } from "@lapidary/std";
import fc from "fast-check";
import { trainProgram } from "../testing/fixtures.js";
import { exportedMemory } from "./exported-memory.js";
import { WrittenValues } from "./written-values.js";

const randomProgram = (seed: number): Program => {
  const { graph, mesh, shardings } = randomCase(seed);
  return compile(graph, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints: shardings });
};

/** The buffers of the values whose names end with `suffix`, by phase. */
function buffersOf(program: Program, suffix: string, phase = "forward") {
  const { chip } = program;
  return exportedMemory(program, "bf16", Infinity).plan.buffers.filter(({ value }) => {
    const { name, scope } = ensure(chip.values[value], "value");
    return name.endsWith(suffix) && scope.phase === phase;
  });
}

describe("the memory of the exported step", () => {
  it("every value is computed once and after its operands, and live buffers do not overlap", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        checkOrder(randomProgram(seed));
      }),
      { numRuns: 20 },
    );
    const mesh = "pod=2,data=2,model=2";
    for (const remat of ["none", "dots", "full"] as const) checkOrder(trainProgram({ mesh, batch: 16, zero: 3, remat }));
    for (const zero of [0, 1, 2] as const) checkOrder(trainProgram({ mesh, batch: 16, zero }));
  });

  it("the exponential of the scores has no buffer, because its readers compute it again from the masked scores", () => {
    const program = trainProgram({ mesh: "data=4", remat: "none" });
    deepStrictEqual(buffersOf(program, "attn.exp"), []);
    deepStrictEqual(buffersOf(program, ".exp"), []);
    const written = new WrittenValues(program.chip);
    const scores = program.chip.values.filter(({ name, op }) => name.endsWith("scores") && op === "dot_general");
    ok(scores.length > 0);
    // The mask is the epilogue of the matmul: its result is written in place of the matmul.
    for (const { id } of scores) {
      const [mask] = written.readers(id);
      deepStrictEqual([written.isWritten(id), written.isWritten(ensure(mask, "mask"))], [false, true]);
    }
  });

  it("a gathered weight that only matmuls read is gathered in bf16, and in f32 if the job computes in f32", () => {
    const program = trainProgram({ mesh: "data=4", width: 128, zero: 3 });
    const gather = ensure(
      program.chip.values.find(({ op, role }) => op === "all_gather" && role === "param"),
      "gather",
    );
    const bytes = (compute: "bf16" | "f32"): number =>
      ensure(
        exportedMemory(program, compute, Infinity).plan.buffers.find(({ value, bytes: size }) => value === gather.id && size > 128 * 128),
        "buffer",
      ).bytes;
    strictEqual(bytes("f32"), 2 * bytes("bf16"));
  });

  it("the compiler copies each weight whose next state is gathered: with ZeRO 2, not with ZeRO 0 or 3", () => {
    const copies = (zero: 0 | 2 | 3): number => {
      const program = trainProgram({ mesh: "data=4", zero });
      return exportedMemory(program, "bf16", Infinity).plan.buffers.filter(
        ({ value, from }) => from === 0 && ensure(program.chip.values[value], "value").op === "parameter",
      ).length;
    };
    deepStrictEqual([copies(0), copies(2), copies(3)], [0, 12, 0]);
  });

  it("gradients of an MLP that pods reduce too are computed after the backward pass of all attention, others before it ends", () => {
    const early = (mesh: string, limit = Infinity): number => {
      const program = trainProgram({ mesh, batch: 16, zero: 3, remat: "full" });
      const { order } = exportedMemory(program, "bf16", limit);
      const at = (id: number): Program["chip"]["values"][number] => ensure(program.chip.values[id], "value");
      const attention = order.findLastIndex((id) => {
        const value = at(id);
        return value.op === "dot_general" && value.attrs.batch.length > 0 && value.scope.phase === "backward";
      });
      return order.slice(0, attention).filter((id) => /^grads\/.*(up|down)\.weight/.test(at(id).name) && at(id).op === "dot_general")
        .length;
    };
    deepStrictEqual([early("data=4"), early("pod=2,data=2")], [3, 0]);
    ok(early("pod=2,data=2", 0) > 0, "with little memory, they do not wait");
  });

  it("the peak contains gaps between arrays: 3 % of the temporaries", () => {
    const { peakBytes, peakStep, buffers } = exportedMemory(
      trainProgram({ mesh: "data=4", zero: 3, remat: "full" }),
      "bf16",
      Infinity,
    ).plan;
    const states = buffers.reduce((sum, { from, to, bytes }) => (from < 0 && to >= peakStep ? sum + bytes : sum), 0);
    const gaps = (bytes: number): number => Math.ceil(0.03 * (peakBytes - bytes - states));
    const found = buffers.filter(({ from, to, bytes }) => from === peakStep && to === peakStep && bytes === gaps(bytes));
    ok(found.length === 1 && found.every(({ bytes }) => bytes > 0), JSON.stringify(found));
  });

  it("an array is padded to tiles of 8 rows and 128 columns in the order of dims that needs the fewest", () => {
    const program = trainProgram({ mesh: "data=1", batch: 3, seq: 5, width: 12, heads: 3, layers: 1, zero: 0 });
    const [input] = exportedMemory(program, "f32", Infinity).plan.buffers.filter(
      ({ value }) => ensure(program.chip.values[value], "value").name === "tokens",
    );
    // f32[3,5,12]: 3 · 8 · 128, 5 · 8 · 128 or 12 · 8 · 128 numbers.
    strictEqual(ensure(input, "input").bytes, 3 * 8 * 128 * 4);
  });
});

function checkOrder(program: Program): void {
  const { plan, order } = exportedMemory(program, "bf16", Infinity);
  const { values } = program.chip;
  strictEqual(new Set(order).size, order.length);
  strictEqual(order.length, values.filter(({ op }) => op !== "parameter").length);
  const step = new Map(order.map((id, i) => [id, i]));
  for (const id of order)
    for (const input of ensure(values[id], "value").inputs) ok((step.get(input) ?? -1) < (step.get(id) ?? -1), `#${input} before #${id}`);
  verifyMemory(plan, order.length);
}
