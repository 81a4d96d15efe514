import assert from "node:assert/strict";
import {
  type CompareDirection,
  type Graph,
  GraphBuilder,
  type Tensor,
  type Value,
  binaryNames,
  binaryOps,
  interpret,
  tensor,
  tensorType,
  unaryNames,
  unaryOps,
} from "@lapidary/ir";
import { ensure, seededRandom } from "@lapidary/std";
import { type Device, openDevice } from "../device/device.js";
import { loadPlan, runPlan } from "../execution/testing.js";
import { difference, within } from "../kernels/testing.js";

const f = (...dims: number[]) => tensorType("f32", dims);
const i = (...dims: number[]) => tensorType("i32", dims);

/** Rows shorter than a vector, of one vector, of several, with a partial vector, and longer than a tile. */
const columnChoices = [1, 2, 5, 16, 17, 31, 64, 100, 257, 1030];

/** A graph with the output `y`. Its result is negated, because a single op is not fused. */
function graphOf(build: (g: GraphBuilder) => Value): Graph {
  const g = new GraphBuilder("case");
  const built = build(g);
  g.output("y", g.negate(built));
  return g.finish();
}

/** Numbers of f32 near 1, of both signs. */
const numbers = (seed: number, dims: readonly number[]): Tensor => {
  const random = seededRandom(seed);
  return tensor(
    "f32",
    dims,
    Float64Array.from({ length: dims.reduce((n, size) => n * size, 1) }, () => Math.fround((random.next() - 0.5) * 4)),
  );
};
const integers = (seed: number, dims: readonly number[], below = 3): Tensor => {
  const random = seededRandom(seed);
  return tensor(
    "i32",
    dims,
    Float64Array.from({ length: dims.reduce((n, size) => n * size, 1) }, () => random.integer(below)),
  );
};

describe("fused kernels", () => {
  let device: Device;
  before(async function () {
    device = await openDevice();
    if (device.fused === undefined) this.skip();
  });

  /** Runs a graph fused and compares the result with the interpreter. Returns the result. */
  async function expectAsInterpreted(graph: Graph, inputs: ReadonlyMap<string, Tensor>, tolerance: number): Promise<Tensor> {
    const program = loadPlan(device, graph);
    const fused = program.profile().filter(({ kind }) => kind === "fused").length;
    program.dispose();
    assert.ok(fused > 0, "the op under test is fused");
    const results = await runPlan(device, graph, inputs);
    const expected = interpret(graph, inputs);
    for (const [name, exact] of expected) {
      // A number out of the range of f32 is infinite in f32.
      const want = tensor(exact.dtype, exact.dims, Float64Array.from(exact.data, Math.fround));
      const d = difference(ensure(results.get(name), name), want);
      assert.ok(d <= tolerance, `${name} differs by ${d}`);
    }
    return ensure(results.get("y"), "y");
  }

  for (const name of unaryNames)
    it(`a fused kernel computes ${name} as the interpreter does, for any length of a row`, async () => {
      for (const columns of columnChoices)
        await expectAsInterpreted(
          graphOf((g) => g.op(name, [within(g, g.parameter("x", f(3, columns)), unaryOps[name].domain)], {})),
          new Map([["x", numbers(columns, [3, columns])]]),
          1e-6,
        );
    });

  for (const name of binaryNames)
    it(`a fused kernel computes ${name} of rows with rows, with one number for each row, with one row for all, and with constants`, async () => {
      for (const columns of columnChoices) {
        const inputs = new Map([
          ["x", numbers(columns, [3, columns])],
          ["y", numbers(columns + 1, [3, columns])],
          ["row", numbers(columns + 2, [columns])],
          ["column", numbers(columns + 3, [3])],
        ]);
        const operand = (g: GraphBuilder, which: string): Value =>
          which === "y"
            ? g.parameter("y", f(3, columns))
            : which === "row"
              ? g.broadcastInDim(g.parameter("row", f(columns)), [3, columns], [1])
              : which === "column"
                ? g.broadcastInDim(g.parameter("column", f(3)), [3, columns], [0])
                : g.splat(1.25, f(3, columns));
        const [left, right] = binaryOps[name].domain;
        for (const which of ["y", "row", "column", "constant"])
          for (const swapped of [false, true])
            await expectAsInterpreted(
              graphOf((g) => {
                const [x, y] = [g.parameter("x", f(3, columns)), operand(g, which)];
                const [a, b] = swapped ? [y, x] : [x, y];
                return g.op(name, [within(g, a, left), within(g, b, right)], {});
              }),
              inputs,
              1e-6,
            );
      }
    });

  for (const direction of ["EQ", "NE", "LT", "LE", "GT", "GE"] as const satisfies readonly CompareDirection[])
    it(`a fused kernel compares floats and integers by ${direction}, and selects by the result`, async () => {
      for (const columns of columnChoices) {
        const dims = [3, columns];
        await expectAsInterpreted(
          graphOf((g) => {
            const [x, y] = [g.parameter("x", f(...dims)), g.parameter("y", f(...dims))];
            return g.select(g.compare(x, y, direction), x, g.scale(y, 3));
          }),
          new Map([
            ["x", tensor("f32", dims, integers(1, dims).data)],
            ["y", tensor("f32", dims, integers(2, dims).data)],
          ]),
          0,
        );
        await expectAsInterpreted(
          graphOf((g) => {
            const [a, b] = [g.parameter("a", i(3)), g.parameter("b", i(columns))];
            const [x, y] = [g.parameter("x", f(...dims)), g.splat(0.5, f(...dims))];
            return g.select(g.compare(g.broadcastInDim(a, dims, [0]), g.broadcastInDim(b, dims, [1]), direction), x, y);
          }),
          new Map([
            ["a", integers(3, [3])],
            ["b", integers(4, [columns])],
            ["x", numbers(5, dims)],
          ]),
          0,
        );
      }
    });

  it("a fused kernel selects if the predicate or a choice has one number for each row", async () => {
    for (const columns of columnChoices)
      for (let spread = 0; spread < 8; spread++) {
        const dims = [3, columns];
        const held = (bit: number): number[] => ((spread >> bit) % 2 === 1 ? [3] : dims);
        const operand = (g: GraphBuilder, name: string, dtype: "pred" | "f32", bit: number): Value => {
          const value = g.parameter(name, tensorType(dtype, held(bit)));
          return held(bit) === dims ? value : g.broadcastInDim(value, dims, [0]);
        };
        await expectAsInterpreted(
          graphOf((g) => g.select(operand(g, "p", "pred", 0), operand(g, "x", "f32", 1), operand(g, "y", "f32", 2))),
          new Map([
            ["p", tensor("pred", held(0), integers(3, held(0), 2).data)],
            ["x", numbers(1, held(1))],
            ["y", numbers(2, held(2))],
          ]),
          0,
        );
      }
  });

  it("a fused kernel combines predicates and converts them to numbers", async () => {
    for (const columns of columnChoices) {
      const dims = [2, columns];
      await expectAsInterpreted(
        graphOf((g) => {
          const [x, y, p] = [g.parameter("x", f(...dims)), g.parameter("y", f(...dims)), g.parameter("p", tensorType("pred", dims))];
          return g.multiply(g.convert(g.and(g.compare(x, y, "LT"), p), "f32"), x);
        }),
        new Map([
          ["x", numbers(1, dims)],
          ["y", numbers(2, dims)],
          ["p", tensor("pred", dims, integers(3, dims, 2).data)],
        ]),
        0,
      );
    }
  });

  for (const kind of ["sum", "max", "min"] as const) {
    it(`a fused kernel reduces (${kind}) each row and uses the result`, async () => {
      for (const columns of columnChoices)
        await expectAsInterpreted(
          graphOf((g) => {
            const x = g.parameter("x", f(4, columns));
            const found = g.reduce(g.scale(x, 0.5), [1], kind);
            return g.subtract(x, g.broadcastInDim(g.scale(found, 0.25), [4, columns], [0]));
          }),
          new Map([["x", numbers(columns, [4, columns])]]),
          1e-5,
        );
    });

    it(`a fused kernel reduces (${kind}) over rows, over the whole space, and over results of rows`, async () => {
      for (const columns of columnChoices)
        for (const dims of [[0], [0, 1]])
          await expectAsInterpreted(
            graphOf((g) => g.reduce(g.abs(g.parameter("x", f(7, columns))), dims, kind)),
            new Map([["x", numbers(columns, [7, columns])]]),
            1e-5,
          );
      await expectAsInterpreted(
        graphOf((g) => g.reduce(g.reduce(g.abs(g.parameter("x", f(7, 33))), [1], kind), [0], kind)),
        new Map([["x", numbers(1, [7, 33])]]),
        1e-5,
      );
    });

    it(`a fused kernel reduces (${kind}) over dims in the middle`, async () => {
      for (const dims of [
        [3, 5, 17],
        [2, 4, 64],
        [2, 3, 1],
        [2, 5, 2, 3],
      ])
        await expectAsInterpreted(
          graphOf((g) => g.reduce(g.multiply(g.parameter("x", f(...dims)), g.parameter("y", f(...dims))), [1], kind)),
          new Map([
            ["x", numbers(1, dims)],
            ["y", numbers(2, dims)],
          ]),
          1e-5,
        );
    });
  }

  it("a fused kernel sums a long row almost exactly", async () => {
    const columns = 100_000;
    const x = tensor(
      "f32",
      [1, columns],
      Float64Array.from({ length: columns }, (_, k) => Math.fround(1 + (k % 7) * 1e-3)),
    );
    await expectAsInterpreted(
      graphOf((g) => g.reduce(g.abs(g.parameter("x", f(1, columns))), [1], "sum")),
      new Map([["x", x]]),
      3e-7,
    );
  });

  it("a fused kernel computes exp within 3 units in the last place, and infinity beyond the range of f32", async () => {
    const x = Float64Array.from({ length: 40_000 }, (_, k) => Math.fround(-87.3 + (k / 40_000) * 176));
    const y = await runOne("exponential", x);
    x.forEach((at, k) => {
      const want = Math.exp(at);
      if (want > 3.4028234e38) return assert.equal(y[k], Infinity, `exp(${at})`);
      assert.ok(Math.abs((y[k] ?? NaN) - want) <= 3 * 2 ** -23 * want, `exp(${at}) = ${y[k]}, not ${want}`);
    });
  });

  it("a fused kernel computes tanh as an odd function, within 2.5 units in the last place, and exactly ±1 at saturation", async () => {
    const positive = [
      ...Array.from({ length: 20_000 }, (_, k) => (k / 20_000) * 12),
      ...Array.from({ length: 200 }, (_, k) => 2 ** (-k * 0.6)),
      ...[9.1, 10, 88, 3e38, Infinity],
    ].map(Math.fround);
    const [y, mirrored] = [
      await runOne("tanh", Float64Array.from(positive)),
      await runOne(
        "tanh",
        Float64Array.from(positive, (x) => -x),
      ),
    ];
    positive.forEach((x, k) => {
      const [want, got] = [Math.tanh(x), y[k] ?? NaN];
      const ulp = 2 ** (Math.max(-126, Math.floor(Math.log2(want))) - 23);
      assert.ok(Math.abs(got - want) <= 2.5 * (x === 0 ? 0 : ulp) && got <= 1, `tanh(${x}) = ${got}, not ${want}`);
      if (x >= 9.1) assert.equal(got, 1);
      assert.ok(Object.is(mirrored[k], -got), `tanh(-${x}) = ${mirrored[k]}`);
    });
  });

  it("a fused kernel propagates NaN and infinities as the interpreter does", async () => {
    const odd = [NaN, Infinity, -Infinity, 0, 1, -1, 88.8, -88.8, 3e38];
    const at = (g: GraphBuilder, name: string): Value => g.parameter(name, f(odd.length, odd.length));
    const grid = (pick: (r: number, c: number) => number): Tensor =>
      tensor(
        "f32",
        [odd.length, odd.length],
        Float64Array.from({ length: odd.length ** 2 }, (_, k) => Math.fround(pick(Math.floor(k / odd.length), k % odd.length))),
      );
    const inputs = new Map([
      ["x", grid((r) => odd[r] ?? 0)],
      ["y", grid((_, c) => odd[c] ?? 0)],
    ]);
    for (const name of ["add", "subtract", "multiply", "maximum", "minimum"] as const)
      await expectAsInterpreted(
        graphOf((g) => g[name](at(g, "x"), at(g, "y"))),
        inputs,
        1e-6,
      );
    for (const name of ["negate", "exponential", "tanh", "abs"] as const)
      await expectAsInterpreted(
        graphOf((g) => g[name](at(g, "x"))),
        inputs,
        1e-6,
      );
    for (const direction of ["EQ", "NE", "LT", "GE"] as const)
      await expectAsInterpreted(
        graphOf((g) => g.select(g.compare(at(g, "x"), at(g, "y"), direction), at(g, "x"), at(g, "y"))),
        inputs,
        1e-6,
      );
    for (const kind of ["sum", "max", "min"] as const)
      for (const dims of [[1], [0], [0, 1]])
        await expectAsInterpreted(
          graphOf((g) => g.reduce(g.abs(at(g, "x")), dims, kind)),
          inputs,
          1e-6,
        );
  });

  it("max and min of a long row equal those of the interpreter, also with a NaN at any position", async () => {
    const [rows, columns] = [70, 69];
    const x = numbers(5, [rows, columns]);
    // One NaN in each row, always at another position. The last rows have none.
    for (let r = 0; r < columns - 2; r++) x.data[r * columns + r] = NaN;
    for (const kind of ["max", "min"] as const)
      await expectAsInterpreted(
        graphOf((g) => g.reduce(g.negate(g.parameter("x", f(rows, columns))), [1], kind)),
        new Map([["x", x]]),
        0,
      );
  });

  async function runOne(name: "exponential" | "tanh", x: Float64Array): Promise<Float64Array> {
    const graph = graphOf((g) => g[name](g.parameter("x", f(x.length))));
    const y = ensure((await runPlan(device, graph, new Map([["x", tensor("f32", [x.length], x)]]))).get("y"), "y");
    return Float64Array.from(y.data, (value) => -value);
  }
});
