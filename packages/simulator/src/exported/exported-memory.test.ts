import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { compile, gradients, type Program, verifyMemory } from "@lapidary/compiler";
import { randomCase } from "@lapidary/compiler/testing";
import { bytesOf, GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { parseMesh } from "@lapidary/topology";
import fc from "fast-check";
import { trainProgram } from "../testing/fixtures.js";
import { exportedMemory } from "./exported-memory.js";
import { WrittenValues } from "./written-values.js";

const anyMemory = { compute: "bf16", limit: Infinity, torus: { dims: [2, 2] } } as const;

const randomProgram = (seed: number): Program => {
  const { graph, mesh, shardings } = randomCase(seed);
  return compile(graph, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints: shardings });
};

/** The buffers of the values whose names end with `suffix`, by phase. */
function buffersOf(program: Program, suffix: string, phase = "forward") {
  const { chip } = program;
  return exportedMemory(program, anyMemory).plan.buffers.filter(({ value }) => {
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
        exportedMemory(program, { ...anyMemory, compute }).plan.buffers.find(
          ({ value, bytes: size }) => value === gather.id && size > 128 * 128,
        ),
        "buffer",
      ).bytes;
    strictEqual(bytes("f32"), 2 * bytes("bf16"));
  });

  it("the compiler copies each weight whose next state is gathered: with ZeRO 2, not with ZeRO 0 or 3", () => {
    const copies = (zero: 0 | 2 | 3): number => {
      const program = trainProgram({ mesh: "data=4", zero });
      return exportedMemory(program, anyMemory).plan.buffers.filter(
        ({ value, from }) => from === 0 && ensure(program.chip.values[value], "value").op === "parameter",
      ).length;
    };
    deepStrictEqual([copies(0), copies(2), copies(3)], [0, 12, 0]);
  });

  it("gradients of an MLP that pods reduce too are computed after the backward pass of all attention, others before it ends", () => {
    const early = (mesh: string, limit = Infinity): number => {
      const program = trainProgram({ mesh, batch: 16, zero: 3, remat: "full" });
      const { order } = exportedMemory(program, { ...anyMemory, limit });
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

  it("the peak contains the gaps between arrays, whose addresses are chosen in the order of first steps", () => {
    const { peakBytes, peakStep, buffers } = exportedMemory(trainProgram({ mesh: "data=4", zero: 3, remat: "full" }), anyMemory).plan;
    const live = (step: number): number =>
      buffers.reduce((sum, { from, to, bytes }) => (from <= step && step <= to ? sum + bytes : sum), 0);
    const gaps = buffers.filter(
      ({ from, to, offset, bytes }) => from === peakStep && to === peakStep && offset + bytes > peakBytes - bytes,
    );
    strictEqual(live(peakStep), peakBytes);
    const [gap] = gaps;
    ok(gap !== undefined && gap.bytes > 0, JSON.stringify(gaps));
    const top = Math.max(...buffers.filter((buffer) => buffer !== gap).map(({ offset, bytes }) => offset + bytes));
    strictEqual(peakBytes, top, "the highest address of the other arrays");
  });

  it("a reduce_scatter over all chips of a square slice has the size of its operand, because the compiler replaces it by an all_reduce", () => {
    const program = trainProgram({ mesh: "data=16", width: 128, remat: "none", batch: 16 });
    const { chip } = program;
    const scatter = ensure(
      chip.values.find(({ op, type }) => op === "reduce_scatter" && type.dims.length === 2),
      "reduce_scatter",
    );
    const bytes = (...dims: number[]): number[] =>
      exportedMemory(program, { ...anyMemory, torus: { dims } })
        .plan.buffers.filter(({ value }) => value === scatter.id)
        .map((buffer) => buffer.bytes)
        // The gaps between arrays, which are at the same step.
        .filter((size) => size % bytesOf(scatter.type) === 0);
    const shard = bytesOf(scatter.type);
    // With a window in which the chips sum.
    deepStrictEqual(bytes(2, 8), [shard, shard]);
    deepStrictEqual(bytes(4, 4), [16 * shard]);
    deepStrictEqual(bytes(4, 4, 1), [16 * shard]);
    deepStrictEqual(bytes(2, 2, 4), [16 * shard]);
    deepStrictEqual(bytes(4, 8), [shard, shard], "a part of a slice");
  });

  it("the gradient of a softmax is written if one of its matmuls gathers a weight, and computed again otherwise", () => {
    const isGradientWritten = (zero: 0 | 3, inChunk = false): boolean => {
      const { chip } = softmaxProgram(zero, inChunk);
      const written = new WrittenValues(chip);
      const [gradient, ...others] = chip.values.filter(
        ({ id, op, scope }) =>
          op !== "dot_general" &&
          scope.phase === "backward" &&
          written.readers(id).filter((reader) => written.at(reader).op === "dot_general").length === 2,
      );
      deepStrictEqual(others, []);
      return written.isWritten(ensure(gradient, "gradient").id);
    };
    deepStrictEqual([isGradientWritten(0), isGradientWritten(3)], [false, true]);
    strictEqual(isGradientWritten(3, true), false, "a chunk of the loss does not wait for a gather");
  });

  it("a sum of matmuls is written over its first term, but not if a scatter adds rows to it", () => {
    const isInPlace = (isTied: boolean): boolean => {
      const g = new GraphBuilder("sums");
      const x = g.parameter("x", tensorType("f32", [4, 64]), undefined, "batch");
      const rows = g.parameter("rows", tensorType("f32", [2, 64]), undefined, "batch");
      const ids = g.parameter("ids", tensorType("i32", [2]), undefined, "batch");
      const product = (factor: number): Value => g.dotGeneral(g.scale(x, factor), x, [], [[0, 0]]);
      const first = product(2);
      const sum = g.add(first, product(3));
      g.output("sum", isTied ? g.add(sum, g.scatter(ids, rows, 64)) : sum);
      const written = new WrittenValues(g.finish());
      ok(written.isWritten(sum.id));
      return written.overwritable(sum).includes(first.id);
    };
    deepStrictEqual([isInPlace(false), isInPlace(true)], [true, false]);
  });

  it("an array is padded to tiles of 8 rows and 128 columns in the order of dims that needs the fewest", () => {
    const program = trainProgram({ mesh: "data=1", batch: 3, seq: 5, width: 12, heads: 3, layers: 1, zero: 0 });
    const [input] = exportedMemory(program, { ...anyMemory, compute: "f32" }).plan.buffers.filter(
      ({ value }) => ensure(program.chip.values[value], "value").name === "tokens",
    );
    // f32[3,5,12]: 3 · 8 · 128, 5 · 8 · 128 or 12 · 8 · 128 numbers.
    strictEqual(ensure(input, "input").bytes, 3 * 8 * 128 * 4);
  });
});

/** A matmul, and the logarithm of the sum of exponentials of its product with a second weight. */
function softmaxProgram(stage: 0 | 3, inChunk = false): Program {
  const g = new GraphBuilder("softmax");
  const weights = (["first", "second"] as const).map((name) =>
    g.parameter(`params/${name}`, tensorType("f32", [64, 64]), [null, null], "param"),
  );
  const [first, second] = weights as [Value, Value];
  const input = g.parameter("tokens", tensorType("f32", [32, 64]), ["batch", null], "batch");
  const hidden = g.dotGeneral(input, first, [], [[1, 1]]);
  const passes = (): readonly [Value, ReturnType<typeof gradients>] => {
    const logits = g.dotGeneral(hidden, second, [], [[1, 1]]);
    const max = g.stopGradient(g.reduce(logits, [1], "max"));
    const sum = g.reduce(g.exponential(g.subtract(logits, g.broadcastInDim(max, [32, 64], [0]))), [1], "sum");
    const total = g.named("loss", g.reduce(g.log(sum), [0], "sum"));
    return [total, gradients(g, total, weights)];
  };
  const [loss, grads] = inChunk ? g.chunk("loss", 0, passes) : passes();
  g.inPhase("update", () => {
    for (const [i, weight] of weights.entries())
      g.output(weight.name, g.subtract(weight, g.named(`grads/${i}`, ensure(grads[i], "gradient"), [null, null], "gradient")));
  });
  g.output("loss", loss);
  return compile(g.finish(), { mesh: parseMesh("data=4"), rules: { batch: ["data"] }, zero: { stage, axes: ["data"] }, remat: "none" });
}

function checkOrder(program: Program): void {
  const { plan, order } = exportedMemory(program, anyMemory);
  const { values } = program.chip;
  strictEqual(new Set(order).size, order.length);
  strictEqual(order.length, values.filter(({ op }) => op !== "parameter").length);
  const step = new Map(order.map((id, i) => [id, i]));
  for (const id of order)
    for (const input of ensure(values[id], "value").inputs) ok((step.get(input) ?? -1) < (step.get(id) ?? -1), `#${input} before #${id}`);
  verifyMemory(plan, order.length);
}
