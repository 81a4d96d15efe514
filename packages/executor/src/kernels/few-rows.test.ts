import assert from "node:assert/strict";
import fc from "fast-check";
import { type DimPair, GraphBuilder, type Value, interpret, tensorType } from "@lapidary/ir";
import { ensure, seededRandom } from "@lapidary/std";
import { type Device, openDevice } from "../device/device.js";
import { loadPlan, runPlan } from "../execution/testing.js";
import { planFewRows } from "./few-rows.js";
import { randomInputsOf, scaledDifference } from "./testing.js";

const f = (...dims: number[]) => tensorType("f32", dims);

describe("planFewRows", () => {
  const [B, S, H, d, D, F] = [3, 5, 4, 8, 6, 7];
  const heads: DimPair[] = [
    [0, 0],
    [2, 2],
  ];

  it("a projection of one token reads both operands along the contracted dim", () => {
    const plan = planFewRows({ batch: [], contracting: [[2, 1]] }, [B, 1, D], [F, D]);
    assert.deepEqual(plan, { m: B, n: F, k: D, row: D, column: D, depth: 1, batch: [] });
  });

  it("scores read the keys of each head where they are", () => {
    const plan = planFewRows({ batch: heads, contracting: [[3, 3]] }, [B, 1, H, d], [B, S, H, d]);
    assert.deepEqual(plan, {
      ...{ m: 1, n: S, k: d, row: 1, column: H * d, depth: 1 },
      batch: [
        { size: B, a: H * d, b: S * H * d },
        { size: H, a: d, b: d },
      ],
    });
  });

  it("heads that share keys are rows of one matmul", () => {
    const plan = planFewRows({ batch: heads, contracting: [[3, 3]] }, [B, 1, H, d], [B, S, 1, d]);
    assert.deepEqual(plan, { m: H, n: S, k: d, row: d, column: d, depth: 1, batch: [{ size: B, a: H * d, b: S * d }] });
  });

  it("a matmul with many rows, or with two strided dims, has no plan", () => {
    assert.equal(planFewRows({ batch: [], contracting: [[1, 1]] }, [17, D], [F, D]), undefined);
    assert.equal(planFewRows({ batch: [], contracting: [[0, 1]] }, [D, B], [F, D]), undefined);
    assert.equal(planFewRows({ batch: [], contracting: [[1, 2]] }, [B, D], [F, 2, D, 2]), undefined);
  });
});

/** A program that updates an array, as decode does, and multiplies. */
function decodeLike(build: (g: GraphBuilder) => Value): GraphBuilder {
  const g = new GraphBuilder("decode");
  g.output(
    "cache",
    g.dynamicUpdateSlice(g.parameter("cache", f(2, 3)), g.parameter("fresh", f(2, 1)), g.parameter("start", tensorType("i32", [])), 1),
  );
  g.output("y", build(g));
  return g;
}

describe("LapidaryDot", () => {
  let device: Device;
  before(async () => {
    device = await openDevice();
  });

  const size = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(64, 127, 144));

  it("computes dots of few rows as the interpreter does, for any sizes, layouts and shared keys", () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.constantFrom(1, 3),
          heads: fc.constantFrom(1, 2, 5, 16, 21),
          shared: fc.boolean(),
          m: fc.integer({ min: 1, max: 18 }),
          n: size,
          k: size,
          layout: fc.constantFrom("weight", "keys", "values", "heads first" as const),
          seed: fc.nat(),
        }),
        async ({ batch, heads, shared, m, n, k, layout, seed }) => {
          const pairs = (left: number, right: number): DimPair[] => [
            [0, 0],
            [left, right],
          ];
          const kvHeads = shared ? 1 : heads;
          const graph = decodeLike((g) => {
            const repeated = (x: Value, dim: number): Value => {
              const dims = x.type.dims.map((each, d) => (d === dim ? heads : each));
              return shared && heads > 1
                ? g.broadcastInDim(
                    g.reshape(
                      x,
                      x.type.dims.filter((_, d) => d !== dim),
                    ),
                    dims,
                    dims.map((_, d) => d).filter((d) => d !== dim),
                  )
                : x;
            };
            switch (layout) {
              case "weight":
                return g.dotGeneral(g.parameter("x", f(m, 1, k)), g.parameter("w", f(n, k)), [], [[2, 1]]);
              case "keys":
                return g.dotGeneral(
                  g.parameter("x", f(batch, 1, heads, k)),
                  repeated(g.parameter("w", f(batch, n, kvHeads, k)), 2),
                  pairs(2, 2),
                  [[3, 3]],
                );
              case "values":
                return g.dotGeneral(
                  g.parameter("x", f(batch, heads, 1, k)),
                  repeated(g.parameter("w", f(batch, k, kvHeads, n)), 2),
                  pairs(1, 2),
                  [[3, 1]],
                );
              case "heads first":
                return g.dotGeneral(
                  g.parameter("x", f(batch, heads, 1, k)),
                  repeated(g.parameter("w", f(batch, kvHeads, n, k)), 1),
                  pairs(1, 1),
                  [[3, 3]],
                );
            }
          }).finish();
          const inputs = randomInputsOf(seededRandom(seed), graph);
          const want = interpret(graph, inputs);
          for (const [name, actual] of await runPlan(device, graph, inputs))
            assert.ok(scaledDifference(actual, ensure(want.get(name), name)) < 1e-5, name);
        },
      ),
      { numRuns: 150 },
    ));

  it("a row has the same bits in a matmul of any number of rows", async () => {
    const product = (rows: number): Promise<Float64Array> => {
      const graph = decodeLike((g) => g.dotGeneral(g.parameter("x", f(rows, 50)), g.parameter("w", f(33, 50)), [], [[1, 1]])).finish();
      const inputs = randomInputsOf(seededRandom(5), graph);
      const random = seededRandom(6);
      for (const [name, length] of [
        ["w", 33 * 50],
        ["x", 16 * 50],
      ] as const) {
        const data = Float64Array.from({ length }, () => Math.fround(random.next() - 0.5));
        const whole = ensure(inputs.get(name), name);
        whole.data.set(data.subarray(0, whole.data.length));
      }
      return runPlan(device, graph, inputs).then((outputs) => Float64Array.from(ensure(outputs.get("y"), "y").data));
    };
    const whole = await product(16);
    if (device.native?.hasDot === true)
      for (const rows of [1, 3, 4, 7]) assert.deepEqual(await product(rows), whole.subarray(0, rows * 33));
  });

  it("only programs that update an array in place use it", () => {
    const viewsOf = (g: GraphBuilder): number => {
      const program = loadPlan(device, g.finish());
      const { fewRows } = program.plan;
      program.dispose();
      return Number(fewRows);
    };
    const product = (g: GraphBuilder): Value => g.dotGeneral(g.parameter("x", f(2, 4)), g.parameter("w", f(3, 4)), [], [[1, 1]]);
    const plain = new GraphBuilder("train");
    plain.output("y", product(plain));
    assert.equal(viewsOf(plain), 0);
    assert.equal(viewsOf(decodeLike(product)), Number(device.native?.hasDot === true));
  });
});
