import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { makeMesh } from "@lapidary/topology";
import { type Graph, GraphBuilder, type Value, bytesOf, interpret, tensor } from "@lapidary/ir";
import { compile } from "../compile.js";
import { gradients } from "../differentiate/index.js";
import type { Program } from "../program.js";
import { collectivesOf } from "../report/index.js";
import { runChips } from "../testing/spmd-interpreter.js";

/** A chain of blocks of a gain and a matrix. Their gradients are computed one after the other. */
function blocks(count: number): Graph {
  const g = new GraphBuilder("blocks");
  let x = g.parameter("x", { dtype: "f32", dims: [8, 8] }, ["batch", null], "batch");
  const params: Value[] = [];
  for (let i = 0; i < count; i++) {
    const gain = g.parameter(`gain${i}`, { dtype: "f32", dims: [8] }, ["embed"], "param");
    const matrix = g.parameter(`w${i}`, { dtype: "f32", dims: [8, 8] }, ["mlp", "embed"], "param");
    params.push(gain, matrix);
    const scaled = g.op("multiply", [x, g.op("broadcast_in_dim", [gain], { dims: [8, 8], broadcastDimensions: [1] })], {});
    x = g.op("tanh", [g.op("dot_general", [scaled, matrix], { batch: [], contracting: [[1, 1]] })], {});
  }
  const loss = g.op("reduce", [x], { dims: [0, 1], kind: "sum" });
  g.output("loss", loss);
  gradients(g, loss, params).forEach((grad, i) => g.output(`grad${i}`, g.named(`grad${i}`, grad, params[i]?.logicalAxes, "gradient")));
  return g.finish();
}

const compiled = (bucketBytes: number, stage: 0 | 3): Program =>
  compile(blocks(3), { mesh: makeMesh({ data: 4 }), rules: { batch: "data" }, zero: { stage, axes: ["data"] }, bucketBytes });
const listed = (program: Program): string[] =>
  collectivesOf(program.chip)
    .map((v) => `${v.op} ${v.type.dims.join("x")} ${v.op === "all_gather" ? v.scope.phase : ""}`.trim())
    .sort();

describe("buckets of collectives", () => {
  it("a bucket contains reductions of equal small gradients, up to its size", () => {
    deepStrictEqual(
      listed(compiled(0, 0)).filter((line) => line.startsWith("all_reduce 8")),
      [...Array<string>(3).fill("all_reduce 8"), ...Array<string>(3).fill("all_reduce 8x8")],
    );
    // 3 · 32 bytes fit, but two matrices of 256 bytes do not.
    deepStrictEqual(
      listed(compiled(96, 0)).filter((line) => line.includes("8")),
      ["all_reduce 3x8", ...Array<string>(3).fill("all_reduce 8x8")],
    );
    // A bucket has space for two of them.
    deepStrictEqual(
      listed(compiled(64, 0)).filter((line) => !line.includes("8x8") && line.includes("8")),
      ["all_reduce 2x8", "all_reduce 8"],
    );
  });

  it("a bucket contains gathers or scatters of ZeRO-3 of one pass, and never of two passes", () => {
    const lines = listed(compiled(1024, 3));
    strictEqual(lines.filter((line) => line === "all_gather 3x8 forward").length, 1);
    strictEqual(lines.filter((line) => line === "reduce_scatter 3x2").length, 1);
    strictEqual(lines.filter((line) => line === "all_gather 3x8x8 forward").length, 1);
    ok(!lines.some((line) => /^(all_gather|reduce_scatter) (8|2)\b/.test(line)), lines.join("\n"));
  });

  it("buckets send the same bytes, compute the same numbers, and have a cause", () => {
    const step = blocks(3);
    const inputs = new Map(
      step.values
        .filter((v) => v.op === "parameter")
        .map((v) => [
          v.name,
          { ...v.type, data: Float64Array.from({ length: v.type.dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i + v.id)) },
        ]),
    );
    const expected = interpret(step, inputs);
    for (const stage of [0, 3] as const) {
      const [apart, together] = [compiled(0, stage), compiled(2048, stage)];
      const bytes = ({ chip }: Program): number => collectivesOf(chip).reduce((sum, v) => sum + bytesOf(v.type), 0);
      strictEqual(bytes(together), bytes(apart));
      for (const [name, { data }] of runChips(together.chip, inputs))
        data.forEach((v, i) => ok(Math.abs(v - (expected.get(name)?.data[i] ?? NaN)) < 1e-12, name));
      for (const value of collectivesOf(together.chip))
        if (value.name.startsWith("bucket")) match(value.cause ?? "", /^combines 3 equal collectives .*; the first (reduces|gathers) /);
    }
  });

  it("a bucket never contains two collectives of which one depends on the other", () => {
    // A chain of row-parallel matmuls: each sum is the operand of the next matmul.
    const g = new GraphBuilder("chain");
    let x = g.parameter("x", { dtype: "f32", dims: [4, 4] }, [null, "mlp"], "batch");
    for (let i = 0; i < 3; i++)
      x = g.op("dot_general", [x, g.parameter(`w${i}`, { dtype: "f32", dims: [4, 4] }, [null, "mlp"], "param")], {
        batch: [],
        contracting: [[1, 1]],
      });
    g.output("y", x);
    const options = { mesh: makeMesh({ model: 4 }), rules: { mlp: "model" }, zero: { stage: 0, axes: [] } } as const;
    const [apart, together] = [compile(g.finish(), options), compile(g.finish(), { ...options, bucketBytes: 1 << 20 })];
    deepStrictEqual(listed(together), listed(apart));
  });

  it("a bucket contains no maxima, because only partial sums can be stacked before they are reduced", () => {
    const g = new GraphBuilder("maxima");
    for (const name of ["a", "b"]) {
      const x = g.parameter(name, { dtype: "f32", dims: [8, 8] }, [null, "mlp"], "batch");
      for (const kind of ["max", "sum"] as const) g.output(`${kind}_${name}`, g.op("reduce", [x], { dims: [1], kind }));
    }
    const graph = g.finish();
    const program = compile(graph, {
      mesh: makeMesh({ model: 4 }),
      rules: { mlp: "model" },
      zero: { stage: 0, axes: [] },
      bucketBytes: 256,
    });
    deepStrictEqual(listed(program), ["all_reduce 2x8", "all_reduce 8", "all_reduce 8"]);
    const inputs = new Map(
      ["a", "b"].map((name, n) => [
        name,
        tensor(
          "f32",
          [8, 8],
          Float64Array.from({ length: 64 }, (_, i) => ((i * 7 + n * 3) % 19) - 9),
        ),
      ]),
    );
    const [out, expected] = [runChips(program.chip, inputs), interpret(graph, inputs)];
    for (const [name, { data }] of expected) deepStrictEqual([...(out.get(name)?.data ?? [])], [...data]);
  });
});
