import { ok, strictEqual } from "node:assert/strict";
import { GraphBuilder, type Graph, tensorType } from "@lapidary/ir";
import { must } from "@lapidary/std";
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
  fused(graph).kernels.map((kernel) => kernelCost(kernelWork(graph, kernel, { chip, compute: "bf16" }), { chip, compute: "bf16" }));
const f32 = (...dims: number[]): ReturnType<typeof tensorType> => tensorType("f32", dims);

describe("cost of a product", () => {
  it("pads to the systolic array: 100 columns cost what 128 do, and 8 rows what 8 do", () => {
    strictEqual(paddedFlops({ batch: 1, m: 8, n: 100, k: 128 }, 128), 2 * 8 * 128 * 128);
    strictEqual(paddedFlops({ batch: 1, m: 1000, n: 128, k: 1 }, 128), 2 * 1000 * 128 * 128);
    strictEqual(paddedFlops({ batch: 3, m: 256, n: 256, k: 256 }, 128), 3 * 2 * 256 ** 3);
  });

  it("lets the operand stand in the array that wastes less", () => {
    strictEqual(paddedFlops({ batch: 1, m: 8, n: 4096, k: 128 }, 128), paddedFlops({ batch: 1, m: 4096, n: 8, k: 128 }, 128));
  });

  it("reads each operand once where tiles suffice, and more often where the vector memory is small", () => {
    const shape = { batch: 1, m: 4096, n: 4096, k: 4096 };
    const once = 2 * 2 * 4096 ** 2;
    strictEqual(matmulReads(shape, 2, 128 * 2 ** 20, 128), once);
    ok(matmulReads(shape, 2, 2 ** 20, 128) > 4 * once);
  });

  it("is bound by the matrix units from 240 flops a byte on", () => {
    const product = (rows: number): KernelCost => {
      const g = new GraphBuilder("g");
      g.output("y", g.dotGeneral(g.parameter("x", f32(rows, 8192)), g.parameter("w", f32(8192, 8192)), [], [[1, 0]]));
      return must(costs(g.finish())[0], "kernel");
    };
    strictEqual(product(64).limit, "hbm");
    strictEqual(product(1024).limit, "matrix");
    ok(Math.abs(product(4096).seconds / ((2 * 4096 * 8192 ** 2) / 197e12) - 1) < 1e-9);
  });

  it("never falls when a dim grows", () => {
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
  it("makes one kernel of a chain of elementwise ops, which reads its inputs and writes its result once", () => {
    const g = new GraphBuilder("g");
    const [a, b] = [g.parameter("a", f32(1024, 1024)), g.parameter("b", f32(1024, 1024))];
    g.output("y", g.multiply(g.tanh(g.add(a, b)), g.exponential(a)));
    const all = costs(g.finish());
    strictEqual(all.length, 1);
    strictEqual(all[0]?.hbmBytes, 1024 * 1024 * (4 + 4 + 2));
    strictEqual(all[0]?.limit, "hbm");
  });

  it("runs a loop behind the product that it alone reads, and not behind one that others read too", () => {
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

  it("ends a loop with the reduction that it feeds", () => {
    const g = new GraphBuilder("g");
    const x = g.parameter("x", f32(512, 512));
    const mean = g.reduce(g.exponential(x), [1], "sum");
    g.output("y", g.multiply(x, g.broadcastInDim(mean, [512, 512], [0])));
    strictEqual(fused(g.finish()).kernels.length, 2);
  });

  it("gives every value that is computed to one kernel", () => {
    const { chip, schedule } = trainProgram({ mesh: "data=4,model=2" });
    const { kernels } = fuse(chip, schedule.order);
    const members = kernels.flatMap((kernel) => kernel.members);
    strictEqual(new Set(members).size, members.length);
    const place = new Map(schedule.order.map((id, i) => [id, i]));
    for (const { members: own, reads } of kernels)
      for (const id of reads) ok((place.get(id) ?? -1) < (place.get(must(own.at(-1), "member")) ?? -1), "a kernel reads what is there");
  });
});

describe("attention", () => {
  const kernels = (remat: "none" | "full"): ReturnType<typeof attentionKernels> => {
    const { chip } = trainProgram({ mesh: "data=4", layers: 1, remat, seq: 2048 });
    return attentionKernels(chip, usersOf(chip));
  };

  it("is one kernel a pass, whose scores have no buffer", () => {
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

  it("does two products forward and five backward, two of which make the scores again", () => {
    const [forward, , backward] = kernels("full");
    strictEqual(forward?.products.length, 2);
    strictEqual(backward?.products.length, 5);
    strictEqual(backward.again.length > 0, true);
  });

  it("needs no scores from the forward pass either where nothing else is computed again", () => {
    const [forward, backward] = kernels("none");
    strictEqual(forward?.products.length, 2);
    strictEqual(backward?.products.length, 5);
  });

  it("skips the blocks that a causal mask hides: 4 blocks of 512 a side leave 10 of 16", () => {
    strictEqual(kernels("full")[0]?.visible, 10 / 16);
  });

  it("is not fused where its scores are wanted", () => {
    const g = new GraphBuilder("g");
    const [q, k, v] = ["q", "k", "v"].map((name) => g.parameter(name, f32(2, 512, 64))) as [never, never, never];
    const scores = g.dotGeneral(q, k, [[0, 0]], [[2, 2]]);
    g.output("y", g.dotGeneral(g.exponential(scores), v, [[0, 0]], [[2, 1]]));
    const alone = g.finish();
    strictEqual(attentionKernels(alone, usersOf(alone)).length, 1);
    const shown = { ...alone, outputs: [...alone.outputs, { name: "scores", value: 3 }] };
    strictEqual(attentionKernels(shown, usersOf(shown)).length, 0);
  });
});

describe("storage", () => {
  it("keeps states and updates in f32 and what the passes make in bf16", () => {
    const { chip } = trainProgram({ mesh: "data=4" });
    for (const value of chip.values) {
      if (value.type.dtype !== "f32") continue;
      const bytes = storedBytes(value, "bf16") / value.type.dims.reduce((a, b) => a * b, 1);
      strictEqual(bytes, value.op === "parameter" || value.scope.phase === "update" || value.role === "metric" ? 4 : 2, value.name);
    }
  });
});
