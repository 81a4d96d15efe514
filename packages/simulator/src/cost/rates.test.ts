import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { type Graph, GraphBuilder, type TensorType, type Value, tensorType } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { makeMesh, parseTorus } from "@lapidary/topology";
import type { ChipSpec } from "../chip/chip-spec.js";
import { type Placement, sendSeconds, shortestPath, spanOf } from "../network/placement.js";
import { hostStage, stagesOf, uncontendedSeconds } from "../network/transfer.js";
import { stragglerDelay } from "../result/straggler-delay.js";
import { chipNamed, v5e } from "../testing/fixtures.js";
import { fuse } from "./fusion.js";
import { type KernelCost, type KernelWork, kernelCost, kernelWork } from "./kernel-cost.js";
import { matmulReads, isMatmul, matmulShape, readShare, matrixSeconds, paddedFlops, usefulFlops } from "./matmul.js";
import { type ComputeDtype, storedBytes } from "./storage.js";

/** A chip with round numbers, none of which is 1: a factor that is left out changes every time. */
const chip: ChipSpec = {
  ...v5e,
  matrix: { bf16_flops: 1000, int8_ops: 2000, array: 4, f32_passes: 6 },
  vector: { ops: 100, transcendental: 8 },
  vmem_bytes: 2 ** 20,
  hbm: { bytes: 2 ** 30, bytes_per_s: 50 },
  ici: { ...v5e.ici, link_bytes_per_s: 10, efficiency: 0.5, hop_s: 0.25, wraps: { exactly: 4 } },
  host: { chips: 4, dcn_bytes_per_s: 80, dcn_latency_s: 0.5, pcie_bytes_per_s: 16 },
  calibrated: {
    ...{ matrix_efficiency: 0.5, vector_efficiency: 0.25, overlap_loss: 0.1, pod_delay: 0.3 },
    ...{ hbm_efficiency: 0.8, dcn_efficiency: 0.4 },
  },
};
const f32 = (...dims: number[]): TensorType => tensorType("f32", dims);
const near = (actual: number, expected: number): void =>
  ok(Math.abs(actual - expected) <= 1e-9 * Math.abs(expected), `${actual} for ${expected}`);

const work: KernelWork = {
  ...{ at: 0, kind: "loop", name: "k", scope: { phase: "forward" }, role: undefined },
  ...{ flops: 0, paddedFlops: 0, vectorOps: 0, hbmBytes: 0, largestStream: 0 },
};
const cost = (change: Partial<KernelWork>, compute: ComputeDtype = "bf16", streamShare?: number): readonly [number, string] => {
  const { seconds, limit } = kernelCost({ ...work, ...change }, { chip, compute, ...(streamShare === undefined ? {} : { streamShare }) });
  return [seconds, limit];
};

describe("rates of a chip", () => {
  it("each unit has its rate times its efficiency", () => {
    deepStrictEqual(cost({ paddedFlops: 1000 }), [2, "matrix"]);
    deepStrictEqual(cost({ vectorOps: 100 }), [4, "vector"]);
    deepStrictEqual(cost({ hbmBytes: 80 }), [2, "hbm"]);
    // An f32 matmul is six bf16 matmuls.
    deepStrictEqual(cost({ paddedFlops: 1000 }, "f32"), [12, "matrix"]);
    strictEqual(matrixSeconds(500, chip, "bf16"), 1);
  });

  it("the slowest unit decides, and attention uses the matrix and the vector unit one after the other", () => {
    const both = { paddedFlops: 1000, vectorOps: 100 };
    deepStrictEqual(cost({ ...both, kind: "product" }), [4, "vector"]);
    deepStrictEqual(cost({ ...both, kind: "attention" }), [6, "vector"]);
    deepStrictEqual(cost({ ...both, kind: "attention", vectorOps: 25 }), [3, "matrix"]);
    deepStrictEqual(cost({ ...both, hbmBytes: 400 }), [10, "hbm"]);
    // With equal times the unit counts, not the memory.
    deepStrictEqual(cost({ paddedFlops: 1000, hbmBytes: 80 }), [2, "matrix"]);
    deepStrictEqual(cost({ paddedFlops: 1000, vectorOps: 50 }), [2, "matrix"]);
  });

  it("a share for one stream slows a loop whose largest array is most of its bytes, and no other kernel", () => {
    deepStrictEqual(cost({ hbmBytes: 80, largestStream: 60 }, "bf16", 0.5), [3, "hbm"]);
    deepStrictEqual(cost({ hbmBytes: 80, largestStream: 40 }, "bf16", 0.5), [2, "hbm"]);
    deepStrictEqual(cost({ kind: "product", hbmBytes: 80, largestStream: 60 }, "bf16", 0.5), [2, "hbm"]);
  });
});

/** The work of the kernels of a graph. */
function works(build: (g: GraphBuilder) => void): KernelWork[] {
  const g = new GraphBuilder("g");
  build(g);
  const graph: Graph = g.finish();
  const order = graph.values.filter(({ op }) => op !== "parameter").map(({ id }) => id);
  return fuse(graph, order).kernels.map((kernel) => kernelWork(graph, kernel, { chip, bytes: (value) => storedBytes(value, "f32") }));
}
const onlyWork = (build: (g: GraphBuilder) => void): KernelWork => {
  const [one, ...others] = works(build);
  strictEqual(others.length, 0);
  return ensure(one, "kernel");
};

describe("work of a kernel", () => {
  it("an elementwise op uses one slot for each element, and an op without an instruction several", () => {
    const of = (build: (g: GraphBuilder, x: Value) => Value): KernelWork =>
      onlyWork((g) => g.output("y", build(g, g.parameter("x", f32(6, 8)))));
    deepStrictEqual([of((g, x) => g.add(x, x)).vectorOps, of((g, x) => g.tanh(x)).vectorOps], [48, 8 * 48]);
    strictEqual(of((g, x) => g.tanh(g.add(x, g.exponential(x)))).vectorOps, 17 * 48);
    // A reduction uses a slot for each element of its operand.
    const sum = of((g, x) => g.reduce(x, [1], "sum"));
    deepStrictEqual([sum.vectorOps, sum.hbmBytes, sum.largestStream, sum.flops], [48, 4 * (48 + 6), 4 * 48, 0]);
  });

  it("a matmul has the flops of its dims, the padded flops of the array, and reads its operands", () => {
    const {
      flops,
      paddedFlops: padded,
      hbmBytes,
      kind,
      largestStream,
    } = onlyWork((g) => g.output("y", g.dotGeneral(g.parameter("x", f32(8, 6)), g.parameter("w", f32(6, 10)), [], [[1, 0]])));
    deepStrictEqual(
      [kind, flops, padded, hbmBytes, largestStream],
      ["product", 2 * 8 * 6 * 10, 2 * 8 * 8 * 12, 4 * (8 * 6 + 6 * 10 + 8 * 10), 4 * 80],
    );
  });

  it("a lookup reads only the rows that it returns, or a table that is smaller", () => {
    const bytes = (rows: number): number =>
      onlyWork((g) => g.output("y", g.gather(g.parameter("t", f32(rows, 8)), g.parameter("ids", tensorType("i32", [4]))))).hbmBytes;
    // The table, the ids and the result.
    strictEqual(bytes(1000), 4 * (4 * 8 + 4 + 4 * 8));
    strictEqual(bytes(2), 4 * (2 * 8 + 4 + 4 * 8));
  });

  it("a kernel is named after its matmul, and has the pass of its last value", () => {
    const [one] = works((g) => {
      const x = g.parameter("x", f32(8, 8));
      const y = g.named("y", g.dotGeneral(x, x, [], [[1, 0]]));
      g.output(
        "z",
        g.inPhase("forward", () => g.named("z", g.tanh(y))),
      );
    });
    deepStrictEqual([one?.name, one?.scope.phase, one?.at], ["y", "forward", 2]);
  });

  it("the shape of a matmul has the products of its batch, free and contracted dims", () => {
    const g = new GraphBuilder("g");
    const [a, b] = [g.parameter("a", f32(2, 3, 4, 5)), g.parameter("b", f32(5, 7, 2, 4))];
    const dot = g.dotGeneral(
      a,
      b,
      [[0, 2]],
      [
        [2, 3],
        [3, 0],
      ],
    );
    if (dot.op !== "dot_general") throw new Error("a matmul");
    deepStrictEqual(matmulShape(dot, [a, b]), { batch: 2, m: 3, n: 7, k: 20 });
    strictEqual(usefulFlops(dot, [a, b]), 2 * 2 * 3 * 7 * 20);
  });

  it("a matmul of groups of rows has the rows that are expected to have a group, in equal parts, and reads no other rows", () => {
    const g = new GraphBuilder("g");
    const [x, w] = [g.parameter("x", f32(2, 4, 8, 5)), g.parameter("w", f32(4, 3, 7, 5))];
    const sizes = g.parameter("sizes", { dtype: "i32", dims: [2, 4, 3] });
    const dot = g.raggedDot(x, w, sizes, { shared: [1], filled: 0.25 });
    const back = g.op("ragged_contract", [x, dot, sizes], { shared: [1], filled: 0.25 });
    ok(isMatmul(dot) && isMatmul(back));
    // 2 · 4 · 8 rows, a quarter of them in 4 · 3 groups.
    deepStrictEqual(matmulShape(dot, [x, w, sizes]), { batch: 12, m: 16 / 12, n: 7, k: 5 });
    deepStrictEqual(matmulShape(back, [x, dot, sizes]), { batch: 12, m: 7, n: 5, k: 16 / 12 });
    for (const [matmul, inputs] of [
      [dot, [x, w, sizes]],
      [back, [x, dot, sizes]],
    ] as const)
      strictEqual(usefulFlops(matmul, inputs), 2 * 16 * 7 * 5);
    deepStrictEqual([readShare(dot, 0), readShare(dot, 1), readShare(back, 0), readShare(back, 1)], [0.25, 1, 0.25, 0.25]);
  });

  it("paddedFlops rounds k and the columns up to the array and the rows to 8, with the cheaper operand stationary", () => {
    strictEqual(paddedFlops({ batch: 3, m: 9, n: 5, k: 6 }, 4), 2 * 3 * 8 * Math.min(16 * 8, 8 * 12));
    strictEqual(paddedFlops({ batch: 1, m: 5, n: 9, k: 6 }, 4), 2 * 8 * 96);
    strictEqual(paddedFlops({ batch: 1, m: 8, n: 8, k: 4 }, 4), 2 * 4 * 64);
  });

  it("matmulReads chooses the tile with the fewest reads that half of the vector memory can hold", () => {
    const shape = { batch: 1, m: 64, n: 64, k: 64 };
    // An operand of 64 · 64 · 2 = 8192 bytes fits into half of 16384 bytes, and into no smaller half.
    strictEqual(matmulReads(shape, 2, 16384, 8), 2 * 2 * 64 * 64);
    ok(matmulReads(shape, 2, 16382, 8) > 2 * 2 * 64 * 64);
    // 8 rows: (4096 - 2·8·64·2) / (4·8 + 2·64·2) = 7 columns; 16 rows: 0 columns.
    strictEqual(matmulReads(shape, 2, 8192, 8), 2 * 64 * 64 * (Math.ceil(64 / 7) + 8));
    // No tile fits: each operand is read for each row of the array.
    strictEqual(matmulReads(shape, 2, 64, 8), 2 * 2 * 64 * 64 * 8);
    strictEqual(matmulReads({ ...shape, batch: 3 }, 2, 16384, 8), 3 * 2 * 2 * 64 * 64);
  });
});

describe("storage of a value", () => {
  it("with bf16 compute, f32 values of the passes take 2 bytes, and states, updates, metrics and other types their own size", () => {
    const g = new GraphBuilder("g");
    const of = (role: Parameters<GraphBuilder["parameter"]>[3]): number =>
      storedBytes(g.parameter(`p${g.values.length}`, f32(3), undefined, role), "bf16");
    deepStrictEqual((["batch", "gathered", "param", "optimizer", undefined] as const).map(of), [6, 6, 12, 12, 12]);
    const x = g.parameter("x", f32(3));
    const computed = (role?: "metric" | "optimizer" | "gradient"): number =>
      storedBytes(g.named("y", g.negate(x), undefined, role), "bf16");
    deepStrictEqual([computed(), computed("gradient"), computed("metric"), computed("optimizer")], [6, 6, 12, 12]);
    strictEqual(
      storedBytes(
        g.inPhase("update", () => g.negate(x)),
        "bf16",
      ),
      12,
    );
    strictEqual(storedBytes(g.negate(x), "f32"), 12);
    deepStrictEqual(
      (["bf16", "i32", "pred"] as const).map((dtype) => storedBytes(g.convert(g.negate(x), dtype), "bf16")),
      [6, 12, 3],
    );
  });
});

describe("rates of a network", () => {
  const place = (torus: string, axes: Record<string, number>, pods = 1): Placement => ({
    mesh: makeMesh(axes),
    slice: parseTorus(torus),
    pods,
    chip,
  });
  const span = (at: Placement, ...axes: string[]): ReturnType<typeof spanOf> =>
    spanOf(
      at,
      at.mesh.atoms.filter(({ axis }) => axes.includes(axis)).map(({ id }) => id),
    );

  it("a ring sends in both directions of its links, a line in one, and interleaved groups share them", () => {
    deepStrictEqual(span(place("2x4", { data: 2, model: 4 }), "model"), {
      pods: 1,
      torus: [{ dim: 1, size: 4, stride: 1, ring: true, rate: 10, hops: 2 }],
      chips: 4,
    });
    deepStrictEqual(span(place("2x4", { data: 2, model: 4 }), "data").torus, [
      { dim: 0, size: 2, stride: 1, ring: false, rate: 5, hops: 1 },
    ]);
    const four = place("1x4", { major: 2, minor: 2 });
    // Every second chip of a ring of four: two groups share each link.
    deepStrictEqual(span(four, "major").torus, [{ dim: 1, size: 2, stride: 2, ring: true, rate: 5, hops: 2 }]);
    deepStrictEqual(span(four, "minor").torus, [{ dim: 1, size: 2, stride: 1, ring: false, rate: 5, hops: 1 }]);
    strictEqual(span(place("1x4", { pod: 3, model: 4 }, 3), "pod", "model").pods, 3);
  });

  it("a message takes the shortest path, over a wrapped link if the dim is a ring", () => {
    const slice = { chip, slice: parseTorus("4x8") };
    deepStrictEqual(shortestPath(slice, [0, 0], [3, 0]), { hops: 1, dims: 1 });
    deepStrictEqual(shortestPath(slice, [0, 0], [0, 7]), { hops: 7, dims: 1 });
    deepStrictEqual(shortestPath(slice, [1, 1], [3, 2]), { hops: 3, dims: 2 });
    deepStrictEqual(shortestPath(slice, [1, 1], [1, 1]), { hops: 0, dims: 0 });
    // 20 bytes over two links of 5 bytes a second, and three hops.
    strictEqual(sendSeconds(slice, 20, [1, 1], [3, 2]), 2 + 0.75);
    strictEqual(sendSeconds(slice, 20, [1, 1], [1, 1]), 0);
  });

  it("a stage between pods has a chip's share of the network cards, and one latency for each doubling of the pods", () => {
    const at = place("1x4", { pod: 3, model: 4 }, 3);
    const [gather] = stagesOf(at, "all_gather", 96, span(at, "pod"));
    // 2/3 of 96 bytes at 80 / 4 · 0.4 = 8 bytes a second.
    deepStrictEqual(gather, { resources: ["dcn"], bytes: 64, seconds: 8, latency: 1 });
    const [reduce] = stagesOf(at, "all_reduce", 96, span(at, "pod"));
    deepStrictEqual([reduce?.bytes, reduce?.seconds, reduce?.latency], [128, 16, 2]);
  });

  it("a copy to the host takes its bytes over PCIe, and stages add up, each for at least its latency", () => {
    deepStrictEqual(hostStage(place("1x4", { model: 4 }), "to_host", 32), { resources: ["to_host"], bytes: 32, seconds: 2, latency: 0 });
    const stage = { resources: [], bytes: 0 };
    strictEqual(
      uncontendedSeconds([
        { ...stage, seconds: 1, latency: 3 },
        { ...stage, seconds: 2, latency: 1 },
      ]),
      5,
    );
  });

  it("a step waits for the slowest of n pods by 1/2 + … + 1/n mean delays, if it has collectives between pods", () => {
    const list = (resource: "dcn" | "ici0"): Parameters<typeof stragglerDelay>[0] =>
      ({ steps: [], transfers: [{ stages: [{ resources: [resource], bytes: 1, seconds: 1, latency: 0 }] }] }) as never;
    const machine = (pods: number): Parameters<typeof stragglerDelay>[1] => ({ chip, pods, torus: parseTorus("1x4") });
    near(stragglerDelay(list("dcn"), machine(2), 10), 10 * 0.3 * 0.5);
    near(stragglerDelay(list("dcn"), machine(4), 10), 10 * 0.3 * (1 / 2 + 1 / 3 + 1 / 4));
    strictEqual(stragglerDelay(list("dcn"), machine(1), 10), 0);
    strictEqual(stragglerDelay(list("ici0"), machine(4), 10), 0);
  });
});

describe("chips", () => {
  it("the cost of one matmul on v5e is its padded flops by the peak and the calibrated efficiency", () => {
    const v5 = chipNamed("v5e");
    const each: KernelCost = kernelCost({ ...work, kind: "product", paddedFlops: 1e12 }, { chip: v5, compute: "bf16" });
    near(each.seconds, 1e12 / (197e12 * v5.calibrated.matrix_efficiency));
  });
});
