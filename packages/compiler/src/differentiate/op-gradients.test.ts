import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import {
  type BinaryName,
  binaryNames,
  binaryOps,
  type CollectiveName,
  type CompareDirection,
  type Graph,
  GraphBuilder,
  interpret,
  type LocalOpName,
  type OpName,
  ops,
  parametersOf,
  sizeOf,
  tableOf,
  type Tensor,
  tensor,
  tensorType,
  type UnaryName,
  unaryNames,
  unaryOps,
  type Value,
  verifyGraph,
} from "@lapidary/ir";
import { ensure, seededRandom } from "@lapidary/std";
import { gradients } from "./gradients.js";

/**
 * One use of an op. `build` receives a parameter for each entry of `dims` and returns any value. The test compares its
 * gradient for every element of every parameter with a central difference in double precision.
 */
interface GradientCase {
  readonly what: string;
  readonly dims: readonly (readonly number[])[];
  readonly build: (g: GraphBuilder, ...inputs: Value[]) => Value;
  /** Elements are drawn from [low, high); [-2, 2) by default. For a non-smooth op the range avoids its kinks. */
  readonly range?: readonly [number, number];
  /** The op has no gradient, although its result depends on its operand. */
  readonly stopped?: true;
}

const square: readonly number[] = [3, 4];
const unary = (name: UnaryName, what: string = name, range = unaryOps[name].domain): GradientCase[] => {
  const build = (g: GraphBuilder, x: Value): Value => g.op(name, [x], {});
  return [
    { what, dims: [square], build, range },
    { what: `${what} of a scalar`, dims: [[]], build, range },
  ];
};
const binary = (name: BinaryName): GradientCase[] => {
  const { domain, smooth } = binaryOps[name];
  const range = [Math.max(...domain.map(([low]) => low)), Math.min(...domain.map(([, high]) => high))] as const;
  const build = (g: GraphBuilder, a: Value, b: Value): Value => g.op(name, [a, b], {});
  const ofItself: GradientCase = { what: `${name} of a value with itself`, dims: [square], build: (g, a) => build(g, a, a), range };
  return [{ what: name, dims: [square, square], build, range }, ...(smooth ? [ofItself] : [])];
};
const directions: readonly CompareDirection[] = ["EQ", "NE", "LT", "LE", "GT", "GE"];
/** Row ids with a duplicate. */
const ids = (g: GraphBuilder, dims: readonly number[], rows: number): Value => {
  const counted = g.convert(g.iota(tensorType("i32", dims), 0), "f32");
  return g.convert(g.scale(counted, rows / 3), "i32");
};

/** Sizes of three groups of rows: 0, 1 and 2 of each list. */
const sizes = (g: GraphBuilder, dims: readonly number[]): Value => g.iota(tensorType("i32", dims), dims.length - 1);
const ragged = { shared: [], filled: 1 } as const;

/** An op on bits of the integer part, which does not change along the range. */
const bitwise = (name: "bitwise_and" | "bitwise_or" | "bitwise_xor" | "shift_left" | "shift_right_arithmetic"): GradientCase[] => [
  {
    what: name,
    dims: [square],
    range: [5.2, 5.8],
    build: (g, x) => {
      const whole = g.convert(x, "i32");
      return g.multiply(x, g.convert(g.op(name, [whole, g.splat(1, whole.type)], {}), "f32"));
    },
  },
];

/** Cases of every op that a differentiated graph can contain: an op without a case is a compile error. */
const cases: { readonly [N in Exclude<LocalOpName, "carry" | "yield">]: readonly GradientCase[] } = {
  parameter: [{ what: "parameter", dims: [square], build: (_, x) => x }],
  constant: [{ what: "constant", dims: [square], build: (g, x) => g.multiply(x, g.splat(1.5, x.type)) }],
  iota: [{ what: "iota", dims: [square], build: (g, x) => g.multiply(x, g.iota(x.type, 1)) }],
  rng_normal: [{ what: "rng_normal", dims: [square], build: (g, x) => g.multiply(x, g.rngNormal(square, 7, 2)) }],
  rng_uniform: [{ what: "rng_uniform", dims: [square], build: (g, x) => g.multiply(x, g.rngUniform(square, g.scalar(7, "i32"))) }],
  ...tableOf(unaryNames, (name) => unary(name)),
  ...tableOf(binaryNames, binary),
  abs: [...unary("abs", "abs of positive numbers", [0.5, 3]), ...unary("abs", "abs of negative numbers", [-3, -0.5])],
  stop_gradient: [{ what: "stop_gradient", dims: [square], build: (g, x) => g.stopGradient(x), stopped: true }],
  convert: [
    { what: "convert to a narrower float", dims: [square], build: (g, x) => g.convert(g.convert(x, "bf16"), "f32") },
    { what: "convert to an integer", dims: [square], range: [1.2, 1.8], build: (g, x) => g.convert(g.convert(x, "i32"), "f32") },
  ],
  and: [
    {
      what: "and",
      dims: [square, square],
      build: (g, a, b) => {
        const zero = g.splat(0, a.type);
        return g.select(g.and(g.compare(a, zero, "GT"), g.compare(b, zero, "LT")), g.multiply(a, b), g.scale(a, 3));
      },
    },
  ],
  power: [{ what: "power", dims: [square, square], range: [0.5, 2], build: (g, a, b) => g.op("power", [a, b], {}) }],
  remainder: [
    {
      what: "remainder",
      dims: [square, square],
      range: [1.1, 1.4],
      build: (g, a, b) => g.op("remainder", [g.scale(a, 4), g.scale(b, 1.5)], {}),
    },
  ],
  atan2: [{ what: "atan2", dims: [square, square], range: [0.5, 2], build: (g, a, b) => g.op("atan2", [a, b], {}) }],
  bitwise_and: bitwise("bitwise_and"),
  bitwise_or: bitwise("bitwise_or"),
  bitwise_xor: bitwise("bitwise_xor"),
  shift_left: bitwise("shift_left"),
  shift_right_arithmetic: bitwise("shift_right_arithmetic"),
  bitcast_convert: [
    {
      what: "bitcast_convert",
      dims: [square],
      build: (g, x) => g.op("bitcast_convert", [g.op("bitcast_convert", [x], { dtype: "i32" })], { dtype: "f32" }),
      stopped: true,
    },
  ],
  compare: directions.map((direction) => ({
    what: `compare ${direction}`,
    dims: [square, square],
    build: (g, a, b) => g.multiply(a, g.convert(g.compare(a, b, direction), "f32")),
  })),
  select: [{ what: "select", dims: [square, square], build: (g, a, b) => g.select(g.compare(a, b, "LT"), g.square(a), g.square(b)) }],
  broadcast_in_dim: [
    { what: "broadcast of new dims", dims: [[4]], build: (g, x) => g.broadcastInDim(x, [3, 4, 2], [1]) },
    { what: "broadcast that stretches dims of size 1", dims: [[1, 4, 1]], build: (g, x) => g.broadcastInDim(x, [3, 4, 2], [0, 1, 2]) },
    { what: "broadcast that does both", dims: [[1, 4]], build: (g, x) => g.broadcastInDim(x, [3, 5, 4], [1, 2]) },
    { what: "broadcast of a scalar", dims: [[]], build: (g, x) => g.broadcastInDim(x, [2, 3], []) },
    { what: "broadcast to dims of size 1", dims: [[3]], build: (g, x) => g.broadcastInDim(x, [1, 3, 1], [1]) },
  ],
  reshape: [
    { what: "reshape that merges", dims: [[2, 3, 4]], build: (g, x) => g.reshape(x, [6, 4]) },
    { what: "reshape that splits", dims: [[6, 4]], build: (g, x) => g.reshape(x, [2, 3, 1, 4]) },
    { what: "reshape across dims", dims: [[4, 6]], build: (g, x) => g.reshape(x, [3, 8]) },
  ],
  transpose: [
    { what: "transpose", dims: [[2, 3, 4]], build: (g, x) => g.transpose(x, [2, 0, 1]) },
    { what: "transpose that swaps", dims: [[2, 3, 4]], build: (g, x) => g.transpose(x, [0, 2, 1]) },
  ],
  slice: [
    { what: "slice of two dims", dims: [[4, 5]], build: (g, x) => g.slice(x, [1, 2], [3, 5]) },
    { what: "slice of the first elements", dims: [[4, 5]], build: (g, x) => g.slice(x, [0, 0], [1, 5]) },
  ],
  pad: [{ what: "pad", dims: [[3, 2]], build: (g, x) => g.pad(x, [1, 0], [2, 3]) }],
  concatenate: [
    {
      what: "concatenate of three",
      dims: [
        [2, 3],
        [2, 1],
        [2, 2],
      ],
      build: (g, a, b, c) => g.concatenate([a, b, c], 1),
    },
    { what: "concatenate of one value twice", dims: [[2, 3]], build: (g, a) => g.concatenate([a, a], 0) },
  ],
  dynamic_slice: [0, 1, 9].map((start) => ({
    what: `dynamic slice from ${start}`,
    dims: [[4, 5]],
    build: (g, x) => g.dynamicSlice(x, g.scalar(start, "i32"), 1, 2),
  })),
  dynamic_update_slice: [0, 2, 9].map((start) => ({
    what: `dynamic update slice from ${start}`,
    dims: [
      [4, 5],
      [2, 5],
    ],
    build: (g, x, update) => g.dynamicUpdateSlice(x, update, g.scalar(start, "i32"), 0),
  })),
  reduce: (["sum", "max", "min"] as const).flatMap((kind) =>
    [[0], [1], [0, 2], [0, 1, 2]].map((dims) => ({
      what: `reduce ${kind} over ${dims.join(",")}`,
      dims: [[3, 2, 4]],
      build: (g: GraphBuilder, x: Value) => g.reduce(x, dims, kind),
    })),
  ),
  dot_general: [
    { what: "matmul", dims: [square, [4, 5]], build: (g, a, b) => g.dotGeneral(a, b, [], [[1, 0]]) },
    { what: "matmul with a transposed operand", dims: [square, [5, 4]], build: (g, a, b) => g.dotGeneral(a, b, [], [[1, 1]]) },
    { what: "matmul of a value with itself", dims: [square], build: (g, a) => g.dotGeneral(a, a, [], [[0, 0]]) },
    {
      what: "batched matmul",
      dims: [
        [2, 3, 4],
        [4, 2, 5],
      ],
      build: (g, a, b) => g.dotGeneral(a, b, [[0, 1]], [[2, 0]]),
    },
    {
      what: "matmul over two dims in crossed order",
      dims: [
        [3, 4, 2],
        [2, 5, 3],
      ],
      build: (g, a, b) =>
        g.dotGeneral(
          a,
          b,
          [],
          [
            [0, 2],
            [2, 0],
          ],
        ),
    },
    { what: "outer product", dims: [[3], [4]], build: (g, a, b) => g.dotGeneral(a, b, [], []) },
    { what: "inner product", dims: [[5], [5]], build: (g, a, b) => g.dotGeneral(a, b, [], [[0, 0]]) },
  ],
  constrain: [{ what: "constrain", dims: [square], build: (g, x) => g.constrain(x, ["batch", null]) }],
  cumsum: [
    { what: "cumsum", dims: [square], build: (g, x) => g.cumsum(x, 1) },
    { what: "cumsum of a first dim", dims: [square], build: (g, x) => g.square(g.cumsum(x, 0)) },
    { what: "cumsum from the end", dims: [square], build: (g, x) => g.op("cumsum", [x], { dimension: 1, reverse: true }) },
  ],
  shift: [
    { what: "shift on", dims: [square], build: (g, x) => g.square(g.shift(x, 1, 1, false)) },
    { what: "shift back by two", dims: [square], build: (g, x) => g.square(g.shift(x, 0, -2, false)) },
    { what: "shift around", dims: [square], build: (g, x) => g.square(g.shift(x, 1, 1, true)) },
  ],
  pick: [
    { what: "pick from the dim before", dims: [[3, 4, 2]], build: (g, x) => g.square(g.pick(x, 0, 1, [2, 0, 2, 1])) },
    { what: "pick from a later dim", dims: [[2, 3, 4]], build: (g, x) => g.square(g.pick(x, 2, 0, [3, 1])) },
  ],
  ragged_dot: [
    {
      what: "ragged_dot with empty groups and rows without a group",
      dims: [
        [2, 5, 3],
        [3, 2, 3],
      ],
      build: (g, x, w) => g.square(g.raggedDot(x, w, sizes(g, [2, 3]), ragged)),
    },
    {
      what: "ragged_dot of transposed matrices, shared by one of two leading dims",
      dims: [
        [2, 2, 4, 3],
        [2, 3, 3, 2],
      ],
      build: (g, x, w) => g.square(g.op("ragged_dot", [x, w, sizes(g, [2, 2, 3])], { ...ragged, shared: [1], transposed: true })),
    },
  ],
  ragged_contract: [
    {
      what: "ragged_contract",
      dims: [
        [2, 4, 3],
        [2, 4, 2],
      ],
      build: (g, x, y) => g.square(g.op("ragged_contract", [x, y, sizes(g, [2, 3])], { ...ragged, shared: [0] })),
    },
  ],
  gather: [
    { what: "gather from a table for each row", dims: [[2, 4, 3]], build: (g, table) => g.gather(table, ids(g, [2, 3], 3), 1) },
    { what: "gather with duplicate ids", dims: [[4, 3]], build: (g, table) => g.gather(table, ids(g, [6], 3)) },
    { what: "gather with ids of two dims", dims: [[4, 3]], build: (g, table) => g.gather(table, ids(g, [3, 2], 3)) },
    { what: "gather from a vector", dims: [[4]], build: (g, table) => g.gather(table, ids(g, [6], 3)) },
  ],
  scatter: [
    { what: "scatter into a table for each row", dims: [[2, 3, 2]], build: (g, updates) => g.scatter(ids(g, [2, 3], 3), updates, 1, 1) },
    { what: "scatter with duplicate ids", dims: [[6, 3]], build: (g, updates) => g.scatter(ids(g, [6], 3), updates, 6) },
    { what: "scatter that drops rows out of range", dims: [[6, 3]], build: (g, updates) => g.scatter(ids(g, [6], 3), updates, 3) },
    { what: "scatter with ids of two dims", dims: [[3, 2, 2]], build: (g, updates) => g.scatter(ids(g, [3, 2], 3), updates, 4) },
  ],
};

/** The sum of all elements of the case's result, each with its own random weight, so that a wrong gradient of one element is visible. */
function lossOf(one: GradientCase): { readonly graph: Graph; readonly inputs: Map<string, Tensor>; readonly op: readonly OpName[] } {
  const random = seededRandom(one.what.length * 7919 + one.dims.length);
  const g = new GraphBuilder("case");
  const parameters = one.dims.map((dims, i) => g.parameter(`x${i}`, tensorType("f32", dims)));
  const made = one.build(g, ...parameters);
  const weighted = g.multiply(made, g.rngNormal(made.type.dims, 11, 1));
  const loss =
    made.type.dims.length === 0
      ? weighted
      : g.reduce(
          weighted,
          made.type.dims.map((_, d) => d),
          "sum",
        );
  const op = g.values.map((value) => value.op);
  g.output("loss", loss);
  gradients(g, loss, parameters).forEach((grad, i) => g.output(`grad${i}`, grad));
  const [low, high] = one.range ?? [-2, 2];
  const inputs = new Map(
    parameters.map(({ name, type }) => [
      name,
      tensor(
        "f32",
        type.dims,
        Float64Array.from({ length: sizeOf(type.dims) }, () => low + (high - low) * random.next()),
      ),
    ]),
  );
  return { graph: g.finish(), inputs, op };
}

describe("gradients of ops", () => {
  const h = 1e-6;
  for (const name of Object.keys(ops) as OpName[]) {
    const own = (cases as Partial<Record<OpName, readonly GradientCase[]>>)[name];
    if (own === undefined) {
      it(`${name} has no derivative, because it is a collective`, () => {
        strictEqual(ops[name as CollectiveName].vjp, null);
      });
      continue;
    }
    for (const one of own)
      it(`the gradient of ${one.what} equals central differences in every element`, () => {
        const { graph, inputs, op } = lossOf(one);
        verifyGraph(graph);
        ok(op.includes(name), `the case of ${name} contains ${op.join(", ")}`);
        const results = interpret(graph, inputs);
        const lossAt = (at: ReadonlyMap<string, Tensor>): number => ensure(interpret(graph, at).get("loss")?.data[0], "loss");
        let compared = 0;
        parametersOf(graph).forEach(({ name: input }, p) => {
          const x = ensure(inputs.get(input), input);
          const grad = ensure(results.get(`grad${p}`), "gradient");
          deepStrictEqual(grad.dims, x.dims);
          x.data.forEach((_, i) => {
            const moved = (by: number): number => {
              const data = x.data.slice();
              data[i] = (data[i] ?? 0) + by;
              return lossAt(new Map([...inputs, [input, { ...x, data }]]));
            };
            const difference = (moved(h) - moved(-h)) / (2 * h);
            const expected = one.stopped === true ? 0 : difference;
            if (one.stopped === true) ok(difference !== 0, "the result depends on the operand");
            const got = ensure(grad.data[i], "element");
            ok(
              Math.abs(got - expected) <= 1e-7 * Math.max(1, Math.abs(expected)),
              `${input}[${i}]: gradient ${got}, difference ${expected}`,
            );
            compared++;
          });
        });
        ok(compared >= 1, "at least one element was compared");
      });
  }
});

describe("gradients where an op has no unique derivative", () => {
  const gradientAt = (inputs: readonly (readonly number[])[], build: (g: GraphBuilder, ...xs: Value[]) => Value): number[][] => {
    const g = new GraphBuilder("tie");
    const xs = inputs.map((data, i) => g.parameter(`x${i}`, tensorType("f32", [data.length])));
    const made = build(g, ...xs);
    const loss = made.type.dims.length === 0 ? made : g.reduce(made, [0], "sum");
    gradients(g, loss, xs).forEach((grad, i) => g.output(`grad${i}`, grad));
    const results = interpret(g.finish(), new Map(inputs.map((data, i) => [`x${i}`, tensor("f32", [data.length], data)])));
    return inputs.map((_, i) => [...ensure(results.get(`grad${i}`), "gradient").data]);
  };

  it("maximum and minimum share the gradient of equal operands evenly", () => {
    for (const op of ["maximum", "minimum"] as const)
      deepStrictEqual(
        gradientAt(
          [
            [1, 5],
            [1, 5],
          ],
          (g, a, b) => g[op](a, b),
        ),
        [
          [0.5, 0.5],
          [0.5, 0.5],
        ],
      );
  });

  it("a reduction to the maximum or minimum shares the gradient among all elements that reach it", () => {
    deepStrictEqual(
      gradientAt([[1, 3, 3, 2, 3]], (g, x) => g.reduce(x, [0], "max")),
      [[0, 1 / 3, 1 / 3, 0, 1 / 3]],
    );
    deepStrictEqual(
      gradientAt([[1, 3, 1, 2]], (g, x) => g.reduce(x, [0], "min")),
      [[0.5, 0, 0.5, 0]],
    );
  });

  it("abs has the derivative 1 at zero", () => {
    deepStrictEqual(
      gradientAt([[0, -0]], (g, x) => g.abs(x)),
      [[1, 1]],
    );
  });
});
