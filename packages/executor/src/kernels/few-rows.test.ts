import assert from "node:assert/strict";
import fc from "fast-check";
import { type DimPair, type Graph, GraphBuilder, type Tensor, type Value, interpret, tensor, tensorType } from "@lapidary/ir";
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

  it("multiplies rows of 1, 7, 8, 9 and 16 with weights of edge sizes as the interpreter does", async () => {
    for (const m of [1, 7, 8, 9, 16])
      for (const [n, k] of [
        [1023, 1],
        [1, 1023],
        [7, 1023],
        [1023, 9],
        [17, 513],
        [8, 8],
      ] as const) {
        const graph = decodeLike((g) => g.dotGeneral(g.parameter("x", f(m, k)), g.parameter("w", f(n, k)), [], [[1, 1]])).finish();
        const inputs = randomInputsOf(seededRandom(n + k), graph);
        const y = ensure((await runPlan(device, graph, inputs)).get("y"), "y");
        const want = ensure(interpret(graph, inputs).get("y"), "y");
        assert.ok(scaledDifference(y, want) < 1e-5, `${m} rows, ${n} columns, depth ${k}`);
      }
  });

  /** The weights of a softmax, and values of `heads` heads. Positions outside of [first, end) are hidden. */
  const attention = (heads: number, positions: number, width: number): Graph =>
    decodeLike((g) => {
      const dims = [2, heads, 1, positions];
      const scores = g.add(g.parameter("scores", f(...dims)), g.broadcastInDim(g.parameter("bias", f(positions)), dims, [3]));
      return g.dotGeneral(
        g.exponential(scores),
        g.parameter("values", f(2, positions, heads, width)),
        [
          [0, 0],
          [1, 2],
        ],
        [[3, 1]],
      );
    }).finish();

  it("reads only the values of visible positions, whatever the others hold", async function () {
    if (device.native?.hasDot !== true) return this.skip();
    const random = seededRandom(11);
    for (const heads of [3, 9, 16])
      for (const width of [2, 9, 16, 32, 64, 130])
        for (const positions of [2, 9, 33, 127]) {
          const graph = attention(heads, positions, width);
          const inputs = randomInputsOf(random, graph);
          const first = Math.floor(random.next() * positions);
          const end = first + Math.floor(random.next() * (positions - first + 1));
          const isHidden = (position: number): boolean => position < first || position >= end;
          const bias = Float64Array.from({ length: positions }, (_, s) => (isHidden(s) ? -1e30 : 0));
          const values = ensure(inputs.get("values"), "values");
          const given = new Map<string, Tensor>([...inputs, ["bias", tensor("f32", [positions], bias)]]);
          const want = ensure(interpret(graph, given).get("y"), "y");
          // Hidden positions whose vector of sixteen has a visible one are read. All others are NaN here.
          const isRead = (position: number): boolean =>
            first < end && position >= Math.floor(first / 16) * 16 && position < Math.ceil(end / 16) * 16;
          const spoiled = Float64Array.from(values.data, (value, i) =>
            isRead(Math.floor(i / (heads * width)) % positions) ? value : Number.NaN,
          );
          const actual = ensure((await runPlan(device, graph, given)).get("y"), "y");
          given.set("values", tensor("f32", values.dims, spoiled));
          const label = `${heads} heads of ${width}, ${first} to ${end} of ${positions}`;
          assert.ok(scaledDifference(actual, want) < 1e-5, label);
          assert.deepEqual(ensure((await runPlan(device, graph, given)).get("y"), "y").data, actual.data, label);
        }
  });

  it("an infinite or missing number at a visible position is in the result", async () => {
    const graph = attention(16, 40, 16);
    const inputs = randomInputsOf(seededRandom(3), graph);
    inputs.set("bias", tensor("f32", [40], new Float64Array(40)));
    const values = ensure(inputs.get("values"), "values");
    const rowOf = (position: number, head: number): number => (position * 16 + head) * 16;
    values.data[rowOf(39, 2)] = Number.POSITIVE_INFINITY;
    values.data[rowOf(0, 5) + 3] = Number.NaN;
    const { data } = ensure((await runPlan(device, graph, inputs)).get("y"), "y");
    assert.equal(data[2 * 16], Number.POSITIVE_INFINITY);
    assert.ok(Number.isNaN(data[5 * 16 + 3]));
    assert.equal(data.filter((value) => !Number.isFinite(value)).length, 2);
  });

  it("other matmuls read all numbers, so that 0 times an infinite number is NaN", async () => {
    const graph = decodeLike((g) => g.dotGeneral(g.parameter("x", f(2, 40)), g.parameter("w", f(40, 3)), [], [[1, 0]])).finish();
    const inputs = randomInputsOf(seededRandom(3), graph);
    inputs.set("x", tensor("f32", [2, 40], new Float64Array(80)));
    ensure(inputs.get("w"), "w").data[0] = Number.POSITIVE_INFINITY;
    const { data } = ensure((await runPlan(device, graph, inputs)).get("y"), "y");
    assert.deepEqual([...data], [Number.NaN, 0, 0, Number.NaN, 0, 0]);
  });

  it("a row has the same bits in a matmul of any number of rows", async function () {
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
    if (device.native?.hasDot !== true) this.skip();
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
