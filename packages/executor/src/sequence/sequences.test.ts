import assert from "node:assert/strict";
import { type Graph, GraphBuilder, type Tensor, type Value, interpret, tensor, tensorType } from "@lapidary/ir";
import { ensure, seededRandom } from "@lapidary/std";
import { type Device, openDevice } from "../device/device.js";
import { loadPlan, runPlan } from "../execution/testing.js";
import { difference, randomInputsOf } from "../kernels/testing.js";
import { ScratchMemory } from "./scratch-memory.js";

const f = (...dims: number[]) => tensorType("f32", dims);
const i = (...dims: number[]) => tensorType("i32", dims);

/** A program of few rows: it updates one position of an array. */
function programOf(build: (g: GraphBuilder) => void): Graph {
  const g = new GraphBuilder("decode");
  const position = g.parameter("position", i());
  g.output("cache", g.dynamicUpdateSlice(g.parameter("cache", f(2, 5, 3)), g.parameter("fresh", f(2, 1, 3)), position, 1));
  build(g);
  return g.finish();
}

/** What the kernels of a sequence compute, by name. Each has the dims of several kinds of loops. */
const cases: Readonly<Record<string, (g: GraphBuilder) => Value>> = {
  "integers of equal dims": (g) => {
    const [a, b] = [g.parameter("a", i(3, 40)), g.parameter("b", i(3, 40))];
    return g.maximum(g.multiply(g.add(a, b), g.subtract(a, b)), g.op("minimum", [a, b], {}));
  },
  "integers that repeat along a dim": (g) => g.add(g.parameter("a", i(3, 40)), g.broadcastInDim(g.parameter("b", i(3)), [3, 40], [0])),
  "comparisons of floats and a selection of integers": (g) => {
    const [x, y] = [g.parameter("x", f(4, 33)), g.parameter("y", f(4))];
    const isLess = g.compare(x, g.broadcastInDim(y, [4, 33], [0]), "LT");
    return g.select(isLess, g.iota(i(4, 33), 1), g.splat(99, i(4, 33)));
  },
  "comparisons of integers, joined": (g) => {
    const [a, b] = [g.parameter("a", i(4, 17)), g.parameter("b", i(17))];
    const wide = g.broadcastInDim(b, [4, 17], [1]);
    return g.convert(g.and(g.compare(a, wide, "GE"), g.compare(a, wide, "NE")), "i32");
  },
  "the smallest integer of each row": (g) => g.reduce(g.parameter("a", i(6, 50)), [1], "min"),
  "sums of integers over the first dim": (g) => g.reduce(g.parameter("a", i(6, 5)), [0], "sum"),
  "the largest float of each row, which a comparison uses": (g) => {
    const x = g.parameter("x", f(4, 70));
    return g.convert(g.compare(x, g.broadcastInDim(g.reduce(x, [1], "max"), [4, 70], [0]), "EQ"), "i32");
  },
  "floats of truncated values": (g) => g.convert(g.convert(g.scale(g.parameter("x", f(5, 9)), 7), "i32"), "f32"),
  "a gathered row of a table": (g) => g.op("gather", [g.parameter("table", f(4, 6)), g.parameter("a", i(3, 2))], {}),
  "a slice from a position on the device": (g) =>
    g.dynamicSlice(g.parameter("a", i(7, 3)), g.reduce(g.parameter("b", i(2)), [0], "sum"), 0, 2),
  "a transposed array and a slice of it": (g) => {
    const turned = g.op("transpose", [g.parameter("x", f(3, 4, 5))], { permutation: [2, 0, 1] });
    return g.slice(turned, [1, 0, 2], [4, 3, 4]);
  },
  "a repeated array": (g) => g.broadcastInDim(g.parameter("a", i(3)), [2, 3, 4], [1]),
  "a matmul of eight rows and one of nine": (g) => {
    const [x, w] = [g.parameter("x", f(8, 70)), g.parameter("w", f(33, 70))];
    const y = g.parameter("y", f(9, 70));
    const [left, right] = [x, y].map((rows) => g.dotGeneral(rows, w, [], [[1, 1]]));
    return g.concatenate([ensure(left, "left"), ensure(right, "right")], 0);
  },
  "uniform numbers": (g) => g.rngUniform([3, 20], g.reduce(g.parameter("b", i(2)), [0], "sum")),
};

describe("sequences", () => {
  let device: Device;
  before(async () => {
    device = await openDevice();
  });
  const hasSequences = (): boolean => device.sequences !== undefined && device.native?.hasDot === true;

  for (const [name, build] of Object.entries(cases))
    it(`a sequence computes ${name} as the interpreter does`, async () => {
      const graph = programOf((g) => {
        const value = build(g);
        g.output("y", value);
        // Another step of the sequence reads the value under other dims.
        if (value.type.dtype === "i32")
          g.output(
            "z",
            g.add(
              g.reshape(value, [value.type.dims.reduce((n, size) => n * size, 1)]),
              g.splat(1, i(value.type.dims.reduce((n, size) => n * size, 1))),
            ),
          );
      });
      const inputs = randomInputsOf(seededRandom(7), graph);
      const expected = interpret(graph, inputs);
      const found = await runPlan(device, graph, inputs);
      for (const [output, value] of expected) assert.ok(difference(ensure(found.get(output), output), value) < 2e-6, output);
    });

  it("a program of few rows is one call", async function () {
    const graph = programOf((g) => {
      const x = g.parameter("x", f(2, 64));
      const hidden = g.tanh(g.scale(g.dotGeneral(x, g.parameter("w", f(48, 64)), [], [[1, 1]]), 0.02));
      const isTop = g.compare(hidden, g.broadcastInDim(g.reduce(hidden, [1], "max"), [2, 48], [0]), "EQ");
      g.output("token", g.reduce(g.select(isTop, g.iota(i(2, 48), 1), g.splat(48, i(2, 48))), [1], "min"));
      g.output("hidden", hidden);
    });
    const inputs = randomInputsOf(seededRandom(3), graph);
    const program = loadPlan(device, graph);
    const kinds = program.calls.map(({ kind }) => kind);
    assert.equal(loadPlan(device, graph, "f32", false).calls.length > 5, true);
    const [joined, apart] = [await runPlan(device, graph, inputs), await runPlan(device, graph, inputs, "f32", false)];
    assert.deepEqual(joined.get("token"), apart.get("token"));
    assert.ok(difference(ensure(joined.get("hidden"), "hidden"), ensure(apart.get("hidden"), "hidden")) < 1e-6);
    program.dispose();
    if (!hasSequences()) this.skip();
    assert.deepEqual(kinds, ["fused"]);
  });

  it("a row has the same bits in a matmul of one, eight, nine and sixteen rows", async function () {
    if (!hasSequences()) return this.skip();
    const graphOf = (rows: number): Graph =>
      programOf((g) => g.output("y", g.dotGeneral(g.parameter("x", f(rows, 1100)), g.parameter("w", f(19, 1100)), [], [[1, 1]])));
    const inputs = randomInputsOf(seededRandom(5), graphOf(16));
    const x = ensure(inputs.get("x"), "x");
    const first = async (rows: number): Promise<Float64Array> => {
      const given = new Map<string, Tensor>([...inputs, ["x", tensor("f32", [rows, 1100], x.data.slice(0, rows * 1100))]]);
      return Float64Array.from(ensure((await runPlan(device, graphOf(rows), given)).get("y"), "y").data.slice(0, 19));
    };
    const alone = await first(1);
    for (const rows of [8, 9, 16]) assert.deepEqual(await first(rows), alone, `${rows} rows`);
  });

  it("the library refuses a sequence whose calls read outside of their arrays", function () {
    const { sequences } = device;
    if (sequences === undefined) return this.skip();
    // One input and one output of four integers, which a strided copy connects.
    const codeOf = (count: number, stride: number): Int32Array =>
      Int32Array.of(1, 0, 1, 1, -1, 1, 4, 2, 0, 0, 4, 1, 1, 0, 4, 1, 1, 6, 1, 0, 1, 1, 5, 101, 1, count, 0, stride);
    const bind = (code: Int32Array): unknown => sequences.bind({ code, inputCounts: [0, 1, 0], outputCounts: [0, 1, 0] });
    bind(codeOf(4, 1));
    for (const code of [codeOf(4, 2), codeOf(5, 1), codeOf(4, -1), codeOf(4, 1).slice(0, -1), Int32Array.of(...codeOf(4, 1), 0)])
      assert.throws(() => bind(code), /malformed/);
  });
});

describe("scratch memory", () => {
  it("arrays that exist at the same time do not overlap, and freed memory is used again", () => {
    const memory = new ScratchMemory();
    assert.deepEqual([memory.take(1, 100), memory.take(2, 64), memory.take(3, 1)], [0, 2, 3]);
    memory.free(1);
    assert.deepEqual([memory.take(4, 64), memory.take(5, 128), memory.take(6, 64)], [0, 4, 1]);
    assert.equal(memory.blocks, 6);
  });
});
