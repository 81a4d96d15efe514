import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { GraphBuilder, type Graph, type Value, tensorType } from "@lapidary/ir";
import { compile } from "@lapidary/compiler";
import { ensure } from "@lapidary/std";
import { parseMesh } from "@lapidary/topology";
import fc from "fast-check";
import { ideal, trainProgram, v5e } from "../testing/fixtures.js";
import { attentionKernels } from "./attention.js";
import { fuse, type Fusion, usersOf } from "./fusion.js";
import { type KernelCost, kernelCost, kernelWork } from "./kernel-cost.js";
import { paddedFlops, matmulReads } from "./matmul.js";
import { storedBytes } from "./storage.js";

const order = (graph: Graph): number[] => graph.values.filter(({ op }) => op !== "parameter").map(({ id }) => id);
const fused = (graph: Graph): Fusion => fuse(graph, order(graph));
const costs = (graph: Graph, chip = ideal(v5e)): KernelCost[] =>
  fused(graph).kernels.map((kernel) => kernelCost(kernelWork(graph, kernel, { chip, bytes }), { chip, compute: "bf16" }));
const bytes = (value: Value): number => storedBytes(value, "bf16");
const f32 = (...dims: number[]): ReturnType<typeof tensorType> => tensorType("f32", dims);

describe("cost of a matmul", () => {
  it("paddedFlops pads columns to the systolic array and rows to 8: 100 columns cost as much as 128", () => {
    strictEqual(paddedFlops({ batch: 1, m: 8, n: 100, k: 128 }, 128), 2 * 8 * 128 * 128);
    strictEqual(paddedFlops({ batch: 1, m: 1000, n: 128, k: 1 }, 128), 2 * 1000 * 128 * 128);
    strictEqual(paddedFlops({ batch: 3, m: 256, n: 256, k: 256 }, 128), 3 * 2 * 256 ** 3);
  });

  it("paddedFlops chooses the stationary operand with less padding", () => {
    strictEqual(paddedFlops({ batch: 1, m: 8, n: 4096, k: 128 }, 128), paddedFlops({ batch: 1, m: 4096, n: 8, k: 128 }, 128));
  });

  it("a matmul reads each operand once if the vector memory is large enough, and more often if it is small", () => {
    const shape = { batch: 1, m: 4096, n: 4096, k: 4096 };
    const once = 2 * 2 * 4096 ** 2;
    strictEqual(matmulReads(shape, 2, 128 * 2 ** 20, 128), once);
    ok(matmulReads(shape, 2, 2 ** 20, 128) > 4 * once);
  });

  it("the matrix units limit a matmul with more than 240 flops per byte", () => {
    const product = (rows: number): KernelCost => {
      const g = new GraphBuilder("g");
      g.output("y", g.dotGeneral(g.parameter("x", f32(rows, 8192)), g.parameter("w", f32(8192, 8192)), [], [[1, 0]]));
      return ensure(costs(g.finish())[0], "kernel");
    };
    strictEqual(product(64).limit, "hbm");
    strictEqual(product(1024).limit, "matrix");
    ok(Math.abs(product(4096).seconds / ((2 * 4096 * 8192 ** 2) / 197e12) - 1) < 1e-9);
  });

  it("the cost of a matmul does not decrease if a dim grows", () => {
    const dim = fc.integer({ min: 1, max: 3000 });
    fc.assert(
      fc.property(
        dim,
        dim,
        dim,
        fc.integer({ min: 1, max: 300 }),
        fc.constantFrom<("m" | "n" | "k")[]>("m", "n", "k"),
        (m, n, k, more, which) => {
          const shape = { batch: 2, m, n, k };
          const larger = { ...shape, [which]: shape[which] + more };
          ok(paddedFlops(larger, 128) >= paddedFlops(shape, 128));
          ok(matmulReads(larger, 2, 2 ** 24, 128) >= matmulReads(shape, 2, 2 ** 24, 128) * 0.999);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("fusion", () => {
  it("connected elementwise ops are one kernel, which reads its inputs and writes its result once", () => {
    const g = new GraphBuilder("g");
    const [a, b] = [g.parameter("a", f32(1024, 1024)), g.parameter("b", f32(1024, 1024))];
    g.output("y", g.multiply(g.tanh(g.add(a, b)), g.exponential(a)));
    const all = costs(g.finish());
    strictEqual(all.length, 1);
    strictEqual(all[0]?.hbmBytes, 1024 * 1024 * (4 + 4 + 2));
    strictEqual(all[0]?.limit, "hbm");
  });

  it("with a share of 1/2 for one stream, a reduction takes as long as a copy of its operand, and a sum of two arrays no longer", () => {
    const seconds = (build: (g: GraphBuilder, a: Value, b: Value) => Value, streamShare: number): number => {
      const g = new GraphBuilder("g");
      g.output("y", build(g, g.parameter("a", f32(1024, 1024)), g.parameter("b", f32(1024, 1024))));
      const graph = g.finish();
      const chip = ideal(v5e);
      const [kernel] = fused(graph).kernels;
      return kernelCost(kernelWork(graph, ensure(kernel, "kernel"), { chip, bytes }), { chip, compute: "bf16", streamShare }).seconds;
    };
    const total = (g: GraphBuilder, a: Value): Value => g.reduce(a, [0, 1], "sum");
    const sum = (g: GraphBuilder, a: Value, b: Value): Value => g.add(a, b);
    const ratio = seconds(total, 0.5) / seconds(total, 1);
    ok(Math.abs(ratio - 2) < 1e-3, String(ratio));
    strictEqual(seconds(sum, 0.5), seconds(sum, 1));
  });

  it("a loop is fused with a matmul only if no other kernel reads the matmul", () => {
    const kinds = (shared: boolean): string => {
      const g = new GraphBuilder("g");
      const product = g.dotGeneral(g.parameter("x", f32(256, 256)), g.parameter("w", f32(256, 256)), [], [[1, 0]]);
      const y = g.tanh(product);
      g.output("y", y);
      if (shared) g.output("product", product);
      return fused(g.finish())
        .kernels.map(({ kind }) => kind)
        .join(" "); // prettier-ignore
    };
    strictEqual(kinds(false), "product");
    strictEqual(kinds(true), "product loop");
  });

  it("a matmul converts an operand of a narrower type when it reads it", () => {
    const g = new GraphBuilder("g");
    const x = g.parameter("x", f32(512, 512));
    const w = g.parameter("w", tensorType("bf16", [512, 512]));
    g.output("y", g.dotGeneral(x, g.convert(w, "f32"), [], [[1, 0]]));
    const { kernels } = fused(g.finish());
    strictEqual(kernels.length, 1);
    deepStrictEqual(kernels[0]?.reads, [x.id, w.id]);
  });

  it("a reduction is the end of its loop", () => {
    const g = new GraphBuilder("g");
    const x = g.parameter("x", f32(512, 512));
    const mean = g.reduce(g.exponential(x), [1], "sum");
    g.output("y", g.multiply(x, g.broadcastInDim(mean, [512, 512], [0])));
    strictEqual(fused(g.finish()).kernels.length, 2);
  });

  it("every computed value belongs to one kernel, and a kernel reads only values of earlier kernels", () => {
    const { chip, schedule } = trainProgram({ mesh: "data=4,model=2" });
    const { kernels } = fuse(chip, schedule.order);
    const members = kernels.flatMap((kernel) => kernel.members);
    strictEqual(new Set(members).size, members.length);
    const position = new Map(schedule.order.map((id, i) => [id, i]));
    for (const { members: own, reads } of kernels)
      for (const id of reads)
        ok((position.get(id) ?? -1) < (position.get(ensure(own.at(-1), "member")) ?? -1), "a kernel reads earlier values");
  });
});

describe("attention", () => {
  const kernels = (remat: "none" | "full"): ReturnType<typeof attentionKernels> => {
    const { chip } = trainProgram({ mesh: "data=4", layers: 1, remat, seq: 2048 });
    return attentionKernels(chip, usersOf(chip));
  };

  it("attention is one kernel per pass, and its scores have no buffer", () => {
    const { chip, schedule } = trainProgram({ mesh: "data=4", layers: 1, seq: 256 });
    strictEqual(
      kernels("full")
        .map(({ phase }) => phase ?? "forward")
        .join(" "),
      "forward recompute backward",
    ); // prettier-ignore
    const { fused: without } = fuse(chip, schedule.order);
    for (const value of chip.values) if (value.type.dims.join() === "4,4,256,256") ok(without[value.id], value.name);
  });

  it("attention has two matmuls forward and five backward, which includes recomputed scores", () => {
    const [forward, , backward] = kernels("full");
    strictEqual(forward?.matmuls.length, 2);
    strictEqual(backward?.matmuls.length, 5);
    strictEqual(backward.recomputed.length > 0, true);
  });

  it("the backward kernel of attention recomputes the scores even if the policy recomputes nothing", () => {
    const [forward, backward] = kernels("none");
    strictEqual(forward?.matmuls.length, 2);
    strictEqual(backward?.matmuls.length, 5);
  });

  it("attention skips the blocks that a causal mask hides: of 4 × 4 blocks of 512 it computes 10", () => {
    strictEqual(kernels("full")[0]?.visible, 10 / 16);
  });

  /** The visible share of attention over 8192 positions on 4 chips, whose order the positions give. */
  function visibleOnParts(positionsOf: (g: GraphBuilder, T: number, dim: number) => Value): number | undefined {
    const T = 8192;
    const g = new GraphBuilder("g");
    const [q, k, v] = ["q", "k", "v"].map((name) => g.parameter(name, f32(1, T, 64), [null, "seq", null])) as [Value, Value, Value];
    const along = (dim: number): Value => positionsOf(g, T, dim);
    const isVisible = g.broadcastInDim(g.compare(along(1), along(0), "LE"), [1, T, T], [1, 2]);
    const scores = g.dotGeneral(q, k, [[0, 0]], [[2, 2]]);
    const masked = g.select(isVisible, scores, g.splat(-1e9, scores.type));
    g.output("y", g.named("y", g.dotGeneral(g.exponential(masked), v, [[0, 0]], [[2, 1]]), [null, "seq", null]));
    const mesh = parseMesh("context=4");
    const { chip } = compile(g.finish(), { mesh, rules: { seq: "context" }, zero: { stage: 0, axes: [] } });
    return attentionKernels(chip, usersOf(chip))[0]?.visible;
  }

  it("with parts of a row, attention has the visible blocks of the chip with most of them", () => {
    const contiguous = visibleOnParts((g, T, dim) => g.iota(tensorType("i32", [T, T]), dim));
    // 16 × 16 blocks. The last chip has the last 4 rows of them.
    strictEqual(contiguous, (13 + 14 + 15 + 16) / 64);
  });

  it("if each chip has an early and a late piece of a row, the visible blocks of all chips are about half", () => {
    const balanced = visibleOnParts((g, T, dim) => {
      const type = tensorType("i32", [4, T / 4]);
      const [part, offset] = [g.iota(type, 0), g.iota(type, 1)];
      const early = g.add(g.scale(part, T / 8), offset);
      const late = g.offset(g.subtract(offset, g.scale(part, T / 8)), (6 * T) / 8);
      return g.broadcastInDim(g.reshape(g.select(g.compare(offset, g.splat(T / 8, type), "LT"), early, late), [T]), [T, T], [dim]);
    });
    // The first chip has 2 early and 2 late rows of blocks.
    strictEqual(balanced, (1 + 2 + 15 + 16) / 64);
  });

  it("attention is not fused if its scores are an output", () => {
    const g = new GraphBuilder("g");
    const [q, k, v] = ["q", "k", "v"].map((name) => g.parameter(name, f32(2, 512, 64))) as [never, never, never];
    const scores = g.dotGeneral(q, k, [[0, 0]], [[2, 2]]);
    g.output("y", g.dotGeneral(g.exponential(scores), v, [[0, 0]], [[2, 1]]));
    const graph = g.finish();
    strictEqual(attentionKernels(graph, usersOf(graph)).length, 1);
    const withScores = { ...graph, outputs: [...graph.outputs, { name: "scores", value: 3 }] };
    strictEqual(attentionKernels(withScores, usersOf(withScores)).length, 0);
  });
});

describe("storage", () => {
  it("states and updates are stored in f32, and values of the passes and their inputs in bf16", () => {
    const { chip } = trainProgram({ mesh: "data=4" });
    for (const value of chip.values) {
      if (value.type.dtype !== "f32") continue;
      const bytes = storedBytes(value, "bf16") / value.type.dims.reduce((a, b) => a * b, 1);
      const isState = value.op === "parameter" && value.role === "param";
      strictEqual(bytes, isState || value.scope.phase === "update" || value.role === "metric" ? 4 : 2, value.name);
    }
  });
});
