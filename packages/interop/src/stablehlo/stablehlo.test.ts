import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { compile } from "@lapidary/compiler";
import { type Graph, GraphBuilder, type OpName, ops, type Sharding, tensorType, type Value } from "@lapidary/ir";
import { LapidaryError, ensure } from "@lapidary/std";
import { expectText } from "@lapidary/std/testing";
import { makeMesh, type Mesh } from "@lapidary/topology";
import { literal } from "./mlir.js";
import { perDeviceModule, globalModule } from "./module.js";
import { stableHloPrinters } from "./printers.js";
import { sdySharding } from "./sdy.js";
import { shardingConstraints } from "./sharding-constraints.js";
import { Writer } from "./writer.js";

/** A step of SGD for y = tanh(x · w1) · w2 after a table look-up: small, with most kinds of operations. */
function step(): Graph {
  const g = new GraphBuilder("step");
  const table = g.parameter("table", tensorType("f32", [8, 4]), ["vocab", "embed"], "param");
  const w = g.parameter("layers.0.w", tensorType("f32", [16, 4]), ["mlp", "embed"], "param");
  const ids = g.parameter("ids", tensorType("i32", [4]), ["batch"], "batch");
  const x = g.gather(table, ids);
  const y = g.named("layers.0.y", g.tanh(g.dotGeneral(x, w, [], [[1, 1]])));
  const picked = g.select(g.compare(g.iota(y.type, 1), g.splat(3, y.type), "LT"), y, g.splat(0, y.type));
  g.output("loss", g.named("loss", g.reduce(picked, [0, 1], "sum"), [], "metric"));
  g.output("layers.0.w", g.subtract(w, g.scale(w, 0.5)));
  return g.finish();
}

const mesh = makeMesh({ data: 2, model: 4 });
const options = { mesh, rules: { batch: "data", mlp: "model", vocab: "model" }, zero: { stage: 3, axes: ["data"] } } as const;

describe("StableHLO text", () => {
  it("the global and the per-device module of a step equal the stored texts", () => {
    const program = compile(step(), options);
    const file = new URL("../../src/stablehlo/", import.meta.url);
    expectText(globalModule(program.global, shardingConstraints(program.propagated)), new URL("step.global.mlir", file));
    expectText(perDeviceModule(program.chip, program.global), new URL("step.per-device.mlir", file));
  });

  it("every op has a printer", () => {
    deepStrictEqual(Object.keys(stableHloPrinters).sort(), (Object.keys(ops) as OpName[]).sort());
  });

  it("an op that StableHLO lacks is LAP_EXPORT_OP with a remedy", () => {
    const g = new GraphBuilder("init");
    g.output("x", g.named("x", g.rngNormal([4], 1, 1)));
    const program = compile(g.finish(), { ...options, rules: {} });
    throws(
      () => perDeviceModule(program.chip, program.global),
      (error) => error instanceof LapidaryError && error.code === "LAP_EXPORT_OP" && error.exit === 2 && error.remedy !== "",
    );
  });

  it("literals parse back to the same f32", () => {
    for (const value of [0, -0, 1, -2.5, 1e-8, 1e30, 0.1, 16777217, 5e-324])
      strictEqual(Math.fround(Number(literal(value, "f32"))), Math.fround(value), String(value));
    for (const value of [1, 1e30, 1e-8, -0]) match(literal(value, "f32"), /^-?\d+\.\d+(e[+-]?\d+)?$/);
    deepStrictEqual(
      [
        literal(Infinity, "f32"),
        literal(-Infinity, "bf16"),
        literal(NaN, "f32"),
        literal(NaN, "bf16"),
        literal(3, "i32"),
        literal(1, "pred"),
      ],
      ["0x7F800000", "0xFF80", "0x7FC00000", "0x7FC0", "3", "true"],
    );
  });

  it("a sharding prints axes, sub-axes, open dims and priorities", () => {
    const sharding: Sharding = { dims: [[0], [], [1]], unreduced: [], reduction: "sum" };
    strictEqual(
      sdySharding(mesh, sharding, [{ priority: 0 }, { open: true }, { open: true, priority: 3 }]),
      '<@mesh, [{"data"}p0, {?}, {"model":(1)2, ?}p3]>',
    );
    throws(() => sdySharding(mesh, { ...sharding, unreduced: [2] }), /is not a partial sum/);
  });
});

/** Evaluates the scalar integer arithmetic of a writer for a device. */
function evaluate(lines: readonly string[], partition: number): Map<string, number> {
  const values = new Map<string, number>();
  for (const line of lines) {
    const [, name = "", op = "", rest = ""] = /^(%\w+) = stablehlo\.(\w+) ?([^:]*)/.exec(line) ?? [];
    const [a = 0, b = 0] = rest.split(",").map((text) => values.get(text.trim()) ?? Number(/dense<(\d+)>/.exec(text)?.[1]));
    const results: Readonly<Record<string, number>> = {
      partition_id: partition,
      constant: a,
      convert: a,
      divide: Math.floor(a / b),
      remainder: a % b,
      multiply: a * b,
      add: a + b,
    };
    values.set(name, ensure(results[op], line));
  }
  return values;
}

describe("shard offset", () => {
  it("the offset of a chip's shard follows from its number, for any list of sub-axes", () => {
    const odd: Mesh = makeMesh({ pod: 2, data: 6, model: 4 });
    // atoms: pod 0 · data 1 2 (sizes 2 3) · model 3 4
    for (const atoms of [[0], [1, 2], [2], [3, 4], [4], [2, 0], [4, 1], [0, 1, 2, 3, 4], [3, 1]])
      for (const chip of [0, 1, 5, 17, 30, 47]) {
        const writer = new Writer(odd, true, {}, "");
        const name = writer.shardOffset(atoms, 5);
        const coordinate = (id: number): [number, number] => {
          const { size, stride } = ensure(odd.atoms[id], "atom");
          return [Math.floor(chip / stride) % size, size];
        };
        const index = atoms.map(coordinate).reduce((sum, [at, size]) => sum * size + at, 0);
        strictEqual(evaluate(writer.lines(), chip).get(name), index * 5, `${atoms.join(",")} of chip ${chip}`);
      }
  });

  it("the same offset is computed once", () => {
    const writer = new Writer(mesh, true, {}, "");
    writer.shardOffset([0], 2);
    const before = writer.lines().length;
    strictEqual(writer.shardOffset([0], 2), writer.shardOffset([0], 2));
    strictEqual(writer.lines().length, before);
  });
});

describe("rematerialization", () => {
  /** Two blocks of tanh(x · w), and the backward pass of their sum, which recomputes them. */
  function blocks(): Graph {
    const g = new GraphBuilder("remat");
    let x: Value = g.parameter("x", tensorType("f32", [8, 8]), ["batch", null], "batch");
    const weights = [0, 1].map((i) => g.parameter(`layers.${i}.w`, tensorType("f32", [8, 8]), ["embed", "mlp"], "param"));
    const kept: Value[] = [];
    weights.forEach((w, i) =>
      g.block("layers", i, () => {
        kept.push(x);
        x = g.tanh(g.dotGeneral(x, w, [], [[1, 0]]));
      }),
    );
    g.output("loss", g.named("loss", g.reduce(x, [0, 1], "sum"), [], "metric"));
    let grad = g.inPhase("backward", () => g.splat(1, x.type));
    grad = g.inPhase("backward", () => g.negate(grad));
    for (const i of [1, 0]) {
      const again = g.inPhase("recompute", () =>
        g.block("layers", i, () => g.tanh(g.dotGeneral(ensure(kept[i], "x"), ensure(weights[i], "w"), [], [[1, 0]]))),
      );
      grad = g.inPhase("backward", () =>
        g.block("layers", i, () => g.multiply(grad, g.subtract(g.splat(1, again.type), g.multiply(again, again)))),
      );
    }
    g.output("grad", grad);
    return g.finish();
  }

  it("recomputed values of each block read kept values through one barrier, which also takes the gradient", () => {
    const graph = blocks();
    // A block is known by its scope: these names contain no block.
    const nameless = { ...graph, values: graph.values.map((value) => ({ ...value, name: `x${value.id}` }) as Value) };
    const { global, propagated } = compile(nameless, { mesh, rules: {}, zero: { stage: 0, axes: [] } });
    const lines = globalModule(global, shardingConstraints(propagated)).split("\n");
    const barriers = lines.filter((line) => line.includes("optimization_barrier"));
    strictEqual(barriers.length, 2);
    // The operands are x, w and the gradient. The recomputed matmul reads the results of the barrier, the first matmul its operands.
    for (const barrier of barriers) match(barrier, /%t\d+:3 = stablehlo\.optimization_barrier %v\d+, %v\d+, %v\d+ :/);
    const matmuls = lines.filter((line) => line.includes("stablehlo.dot_general"));
    deepStrictEqual(
      matmuls.map((line) => /dot_general (%t\d+#0, %t\d+#1)/.test(line)),
      [false, false, true, true],
    );
    ok(lines.findIndex((line) => line.includes("optimization_barrier")) < lines.findIndex((line) => line.includes("dot_general %t")));
  });
});

describe("chunks of the loss in the text", () => {
  /** Three chunks: each adds the matmul of its rows of x and a weight to a sum. */
  function chunks(): Graph {
    const g = new GraphBuilder("chunks");
    const w = g.parameter("w", tensorType("f32", [4, 4]), undefined, "param");
    const x = g.tanh(g.parameter("x", tensorType("f32", [6, 4]), undefined, "batch"));
    let total: Value | undefined;
    for (let i = 0; i < 3; i++)
      total = g.chunk("loss", i, () => {
        const product = g.dotGeneral(g.slice(x, [2 * i, 0], [2 * i + 2, 4]), w, [], [[1, 1]]);
        return total === undefined ? product : g.add(total, product);
      });
    g.output("total", ensure(total, "total"));
    return g.finish();
  }

  it("each chunk but the first reads its operands through a barrier after the chunk before, and weights directly", () => {
    const { global, propagated } = compile(chunks(), { mesh, rules: {}, zero: { stage: 0, axes: [] } });
    const lines = globalModule(global, shardingConstraints(propagated)).split("\n");
    const barriers = lines.flatMap((line) => /(%t\d+):2 = stablehlo\.optimization_barrier (%v\d+), (%v\d+) :/.exec(line)?.slice(1) ?? []);
    strictEqual(barriers.length, 6);
    const [first, x, before, second, again, after] = barriers;
    strictEqual(x, again);
    ok(lines.some((line) => line.includes(`${before} = stablehlo.dot_general`)));
    ok(lines.some((line) => line.includes(`${after} = stablehlo.add ${first}#1`)));
    deepStrictEqual(
      lines.flatMap((line) => /slice (\S+) \[/.exec(line)?.[1] ?? []),
      [x, `${first}#0`, `${second}#0`],
    );
    strictEqual(lines.filter((line) => line.includes("dot_general") && line.includes(", %v0,")).length, 3);
    deepStrictEqual(
      lines.filter((line) => line.includes("stablehlo.select")),
      [],
      "the global module has no numbers that chips would exchange",
    );
  });

  it("in the per-device module, each chunk but the first depends on a number of the matmul of the chunk before", () => {
    const { global, chip } = compile(chunks(), { mesh, rules: {}, zero: { stage: 0, axes: [] } });
    const text = perDeviceModule(chip, global);
    const at = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map((found) => found[1] ?? "");
    const products = at(/(%v\d+) = stablehlo\.dot_general/g);
    const elements = at(/stablehlo\.slice (%\w+(?:#1)?) \[0:1, 0:1\]/g);
    // The first product goes through the barrier itself, the second through its sum with the first.
    const [first] = at(/(%t\d+):2 = stablehlo\.optimization_barrier/g);
    deepStrictEqual(elements, [`${ensure(first, "barrier")}#1`, products[1]]);
    const selected = at(/(%t\d+) = stablehlo\.select %t\d+, %t\d+#0,/g);
    deepStrictEqual(at(/slice (%t\d+) \[\d:\d, 0:4\]/g), selected);
    strictEqual(selected.length, 2);
  });
});
