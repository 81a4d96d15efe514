import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { ensure } from "@lapidary/std";
import type { LocalOpName, OpAttrs, OpName } from "../attrs.js";
import type { OpDef } from "../op.js";
import { type Tensor, putIndices, tensor } from "../tensor.js";
import { type Dtype, sizeOf } from "../types.js";
import { ops } from "./index.js";

type Numbers = readonly number[];
interface ValueCase {
  readonly inputs: readonly Tensor[];
  readonly attrs: OpAttrs[OpName];
  readonly expected: Tensor;
}

const f32 = (dims: Numbers, data: Numbers): Tensor => tensor("f32", dims, data);
const i32 = (dims: Numbers, data: Numbers): Tensor => tensor("i32", dims, data);
const pred = (...data: Numbers): Tensor => tensor("pred", [data.length], data);
const vector = (dtype: Dtype, data: Numbers): Tensor => tensor(dtype, [data.length], data);
const at = (attrs: OpAttrs[OpName], inputs: readonly Tensor[], expected: Tensor): ValueCase => ({ inputs, attrs, expected });

/** By operand: the result, on vectors of one type. */
const unary = (table: readonly (readonly [x: number, y: number])[], dtype: Dtype = "f32", to: Dtype = dtype, attrs = {}): ValueCase =>
  at(
    attrs,
    [
      vector(
        dtype,
        table.map(([x]) => x),
      ),
    ],
    vector(
      to,
      table.map(([, y]) => y),
    ),
  );
const binary = (
  table: readonly (readonly [a: number, b: number, y: number])[],
  dtype: Dtype = "f32",
  to: Dtype = dtype,
  attrs = {},
): ValueCase =>
  at(
    attrs,
    [
      vector(
        dtype,
        table.map(([a]) => a),
      ),
      vector(
        dtype,
        table.map(([, b]) => b),
      ),
    ],
    vector(
      to,
      table.map(([, , y]) => y),
    ),
  );

const ordered = (direction: OpAttrs["compare"]["direction"], ...expected: Numbers): ValueCase =>
  binary(
    [1, 2, 3].map((a, i) => [a, 2, expected[i] ?? 0] as const),
    "f32",
    "pred",
    { direction },
  );
const counted = f32([2, 3], [1, 2, 3, 4, 5, 6]);
const rows = f32([4, 2], [1, 2, 3, 4, 5, 6, 7, 8]);

/** Operands and results of every op. The numbers are those of mathematical tables, to 16 digits. */
const cases: { readonly [N in Exclude<LocalOpName, "parameter">]: readonly ValueCase[] } = {
  constant: [at({ value: 2.5, dims: [2], dtype: "f32" }, [], f32([2], [2.5, 2.5]))],
  iota: [
    at({ dims: [2, 3], dimension: 0, dtype: "i32" }, [], i32([2, 3], [0, 0, 0, 1, 1, 1])),
    at({ dims: [2, 3], dimension: 1, dtype: "i32" }, [], i32([2, 3], [0, 1, 2, 0, 1, 2])),
  ],
  rng_normal: [at({ dims: [3], key: 7, scale: 0 }, [], f32([3], [0, 0, 0]))],
  rng_uniform: [],
  carry: [at({}, [counted], counted)],
  yield: [at({}, [f32([2], [1, 2]), f32([2], [3, 4])], f32([2], [3, 4]))],
  negate: [unary([[2, -2]]), unary([[-3, 3]], "i32")],
  exponential: [
    unary([
      [0, 1],
      [1, 2.718281828459045],
      [-1, 0.36787944117144233],
    ]),
  ],
  log: [
    unary([
      [1, 0],
      [2, 0.6931471805599453],
    ]),
  ],
  tanh: [
    unary([
      [0, 0],
      [0.5, 0.46211715726000975],
      [-0.5, -0.46211715726000975],
    ]),
  ],
  sqrt: [
    unary([
      [9, 3],
      [2, 1.4142135623730951],
    ]),
  ],
  rsqrt: [
    unary([
      [4, 0.5],
      [0.25, 2],
    ]),
  ],
  cosine: [
    unary([
      [0, 1],
      [1, 0.5403023058681398],
    ]),
  ],
  sine: [
    unary([
      [0, 0],
      [1, 0.8414709848078965],
    ]),
  ],
  abs: [
    unary([
      [-2, 2],
      [3, 3],
    ]),
    unary([[-4, 4]], "i32"),
  ],
  log_plus_one: [
    unary([
      [1, 0.6931471805599453],
      [1e-20, 1e-20],
    ]),
  ],
  exponential_minus_one: [
    unary([
      [1, 1.718281828459045],
      [1e-20, 1e-20],
    ]),
  ],
  erf: [
    unary([
      ...([
        [0, 0],
        [0.5, 0.5204998778130465],
        [1, 0.8427007929497149],
        [-1, -0.8427007929497149],
      ] as const),
      ...([
        [2.4, 0.9993114861033549],
        [2.6, 0.9997639655834707],
        [3, 0.9999779095030014],
        [-3, -0.9999779095030014],
      ] as const),
    ]),
  ],
  erfc: [
    unary([
      ...([
        [0, 1],
        [0.5, 0.4795001221869535],
        [-1, 1.8427007929497148],
        [2.4, 6.885138966450786e-4],
      ] as const),
      ...([
        [2.6, 2.360344165293492e-4],
        [3, 2.2090496998585441e-5],
        [-3, 1.9999779095030015],
        [5, 1.5374597944280349e-12],
      ] as const),
    ]),
  ],
  floor: [
    unary([
      [1.5, 1],
      [-1.5, -2],
      [2, 2],
    ]),
  ],
  add: [binary([[1, 2, 3]]), binary([[2147483647, 1, -2147483648]], "i32")],
  subtract: [binary([[1, 2, -1]]), binary([[-2147483648, 1, 2147483647]], "i32")],
  multiply: [
    binary([[3, 2, 6]]),
    binary(
      [
        [65537, 65537, 131073],
        // The product has more digits than a double.
        [2147483647, 2147483647, 1],
        [-3, 2, -6],
      ],
      "i32",
    ),
  ],
  divide: [
    binary([[1, 4, 0.25]]),
    binary(
      [
        [7, 2, 3],
        [-7, 2, -3],
      ],
      "i32",
    ),
  ],
  maximum: [
    binary([
      [1, 2, 2],
      [3, -3, 3],
    ]),
  ],
  minimum: [
    binary([
      [1, 2, 1],
      [3, -3, -3],
    ]),
  ],
  stop_gradient: [
    unary([
      [1.5, 1.5],
      [-2, -2],
    ]),
  ],
  convert: [
    unary(
      [
        [1.9, 1],
        [-1.9, -1],
      ],
      "f32",
      "i32",
      { dtype: "i32" },
    ),
    unary(
      [
        [0, 0],
        [-3, 1],
        [0.5, 1],
      ],
      "f32",
      "pred",
      { dtype: "pred" },
    ),
    unary(
      [
        [0, 0],
        [1, 1],
      ],
      "pred",
      "f32",
      { dtype: "f32" },
    ),
    unary([[1.5, 1.5]], "f32", "bf16", { dtype: "bf16" }),
  ],
  and: [
    binary(
      [
        [0, 0, 0],
        [0, 1, 0],
        [1, 0, 0],
        [1, 1, 1],
      ],
      "pred",
    ),
  ],
  power: [
    binary([
      [2, 3, 8],
      [4, 0.5, 2],
    ]),
  ],
  remainder: [
    binary([
      [7, 3, 1],
      [-7, 3, -1],
      [7, -3, 1],
      [5.5, 2, 1.5],
    ]),
  ],
  atan2: [
    binary([
      [1, 0, 1.5707963267948966],
      [0, -1, 3.141592653589793],
      [-1, 1, -0.7853981633974483],
    ]),
  ],
  bitwise_and: [binary([[6, 3, 2]], "i32")],
  bitwise_or: [binary([[6, 3, 7]], "i32")],
  bitwise_xor: [binary([[6, 3, 5]], "i32")],
  shift_left: [
    binary(
      [
        [3, 2, 12],
        [1, 31, -2147483648],
      ],
      "i32",
    ),
  ],
  shift_right_arithmetic: [
    binary(
      [
        [12, 2, 3],
        [-8, 1, -4],
      ],
      "i32",
    ),
  ],
  bitcast_convert: [
    unary(
      [
        [1, 1065353216],
        [-2, -1073741824],
      ],
      "f32",
      "i32",
      { dtype: "i32" },
    ),
    unary(
      [
        [1065353216, 1],
        [-1073741824, -2],
      ],
      "i32",
      "f32",
      { dtype: "f32" },
    ),
    unary([[5, 5]], "i32", "i32", { dtype: "i32" }),
  ],
  compare: [
    ...[ordered("EQ", 0, 1, 0), ordered("NE", 1, 0, 1), ordered("LT", 1, 0, 0)],
    ...[ordered("LE", 1, 1, 0), ordered("GT", 0, 0, 1), ordered("GE", 0, 1, 1)],
  ],
  select: [at({}, [pred(1, 0), f32([2], [1, 2]), f32([2], [3, 4])], f32([2], [1, 4]))],
  broadcast_in_dim: [
    at({ dims: [2, 3], broadcastDimensions: [0] }, [f32([2], [1, 2])], f32([2, 3], [1, 1, 1, 2, 2, 2])),
    at({ dims: [2, 3], broadcastDimensions: [1] }, [f32([3], [1, 2, 3])], f32([2, 3], [1, 2, 3, 1, 2, 3])),
    at({ dims: [2, 3], broadcastDimensions: [0, 1] }, [f32([2, 1], [1, 2])], f32([2, 3], [1, 1, 1, 2, 2, 2])),
    at({ dims: [1, 2], broadcastDimensions: [0, 1] }, [f32([1, 2], [1, 2])], f32([1, 2], [1, 2])),
  ],
  reshape: [at({ dims: [3, 2] }, [counted], f32([3, 2], [1, 2, 3, 4, 5, 6]))],
  transpose: [
    at({ permutation: [1, 0] }, [counted], f32([3, 2], [1, 4, 2, 5, 3, 6])),
    at({ permutation: [2, 0, 1] }, [f32([1, 2, 3], [1, 2, 3, 4, 5, 6])], f32([3, 1, 2], [1, 4, 2, 5, 3, 6])),
  ],
  slice: [
    at({ start: [1, 0], limit: [2, 2] }, [counted], f32([1, 2], [4, 5])),
    at({ start: [0, 1], limit: [2, 3] }, [counted], f32([2, 2], [2, 3, 5, 6])),
  ],
  pad: [
    at({ low: [0, 1], high: [1, 0] }, [f32([1, 2], [1, 2])], f32([2, 3], [0, 1, 2, 0, 0, 0])),
    at({ low: [1, 0], high: [0, 2] }, [f32([1, 2], [1, 2])], f32([2, 4], [0, 0, 0, 0, 1, 2, 0, 0])),
  ],
  concatenate: [
    at({ dimension: 1 }, [f32([2, 1], [1, 2]), f32([2, 2], [3, 4, 5, 6])], f32([2, 3], [1, 3, 4, 2, 5, 6])),
    at({ dimension: 0 }, [f32([1, 2], [1, 2]), f32([2, 2], [3, 4, 5, 6])], f32([3, 2], [1, 2, 3, 4, 5, 6])),
  ],
  dynamic_slice: [
    at({ dimension: 1, size: 2 }, [counted, i32([], [0])], f32([2, 2], [1, 2, 4, 5])),
    at({ dimension: 1, size: 2 }, [counted, i32([], [1])], f32([2, 2], [2, 3, 5, 6])),
    at({ dimension: 1, size: 2 }, [counted, i32([], [2])], f32([2, 2], [2, 3, 5, 6])),
    at({ dimension: 0, size: 1 }, [counted, i32([], [-4])], f32([1, 3], [1, 2, 3])),
  ],
  dynamic_update_slice: [
    at({ dimension: 1 }, [counted, f32([2, 1], [8, 9]), i32([], [1])], f32([2, 3], [1, 8, 3, 4, 9, 6])),
    at({ dimension: 1 }, [counted, f32([2, 1], [8, 9]), i32([], [7])], f32([2, 3], [1, 2, 8, 4, 5, 9])),
    at({ dimension: 0 }, [counted, f32([1, 3], [7, 8, 9]), i32([], [-1])], f32([2, 3], [7, 8, 9, 4, 5, 6])),
  ],
  constrain: [at({ logicalAxes: [null, null] }, [counted], counted)],
  cumsum: [
    at({ dimension: 1, reverse: false }, [counted], f32([2, 3], [1, 3, 6, 4, 9, 15])),
    at({ dimension: 1, reverse: true }, [counted], f32([2, 3], [6, 5, 3, 15, 11, 6])),
    at({ dimension: 0, reverse: false }, [counted], f32([2, 3], [1, 2, 3, 5, 7, 9])),
    at({ dimension: 0, reverse: true }, [counted], f32([2, 3], [5, 7, 9, 4, 5, 6])),
  ],
  shift: [
    at({ dimension: 1, by: 1, wrap: false }, [counted], f32([2, 3], [0, 1, 2, 0, 4, 5])),
    at({ dimension: 1, by: -1, wrap: true }, [counted], f32([2, 3], [2, 3, 1, 5, 6, 4])),
    at({ dimension: 0, by: 2, wrap: false }, [counted], f32([2, 3], [0, 0, 0, 0, 0, 0])),
  ],
  pick: [
    at({ from: 0, by: 1, table: [1, 0, 1] }, [counted], f32([3], [4, 2, 6])),
    at({ from: 1, by: 0, table: [2, 0] }, [counted], f32([2], [3, 4])),
  ],
  reduce: [
    at({ dims: [0], kind: "sum" }, [counted], f32([3], [5, 7, 9])),
    at({ dims: [1], kind: "sum" }, [counted], f32([2], [6, 15])),
    at({ dims: [1], kind: "max" }, [f32([2, 2], [-5, -2, -1, -7])], f32([2], [-2, -1])),
    at({ dims: [1], kind: "min" }, [f32([2, 2], [5, 2, 1, 7])], f32([2], [2, 1])),
    at({ dims: [0, 1], kind: "sum" }, [counted], f32([], [21])),
  ],
  dot_general: [
    at({ batch: [], contracting: [[1, 0]] }, [f32([2, 2], [1, 2, 3, 4]), f32([2, 1], [5, 6])], f32([2, 1], [17, 39])),
    at(
      { batch: [[0, 1]], contracting: [[1, 0]] },
      [f32([2, 3], [1, 2, 3, 4, 5, 6]), f32([3, 2, 1], [1, 2, 3, 4, 5, 6])],
      f32([2, 1], [22, 64]),
    ),
    at({ batch: [], contracting: [] }, [f32([2], [1, 2]), f32([2], [3, 4])], f32([2, 2], [3, 4, 6, 8])),
  ],
  // Rows 0 to 2 of each of two lists. The first list has no row of group 0, the second fills its rows and has a size that does not fit.
  ragged_dot: [
    at(
      { shared: [], filled: 1, transposed: false },
      [f32([2, 3, 1], [1, 2, 3, 4, 5, 6]), f32([2, 1, 1], [10, 100]), i32([2, 2], [0, 2, 1, 9])],
      f32([2, 3, 1], [100, 200, 0, 40, 500, 600]),
    ),
    at(
      { shared: [], filled: 1, transposed: false },
      [f32([2, 2], [1, 2, 3, 4]), f32([2, 1, 2], [1, 10, 2, 20]), i32([2], [1, 1])],
      f32([2, 1], [21, 86]),
    ),
    at(
      { shared: [0], filled: 1, transposed: true },
      [f32([2, 1, 1], [3, 4]), f32([2, 1, 1, 2], [1, 2, 3, 4]), i32([2, 1], [1, 1])],
      f32([2, 1, 2], [3, 6, 12, 16]),
    ),
    at({ shared: [], filled: 1, transposed: false }, [f32([1, 1], [3]), f32([2, 1, 1], [5, 7]), i32([2], [-1, 1])], f32([1, 1], [21])),
  ],
  ragged_contract: [
    at(
      { shared: [], filled: 1 },
      [f32([2, 2, 1], [1, 2, 3, 4]), f32([2, 2, 2], [1, 10, 2, 20, 3, 30, 4, 40]), i32([2, 2], [1, 1, 0, 1])],
      f32([2, 2, 1], [1, 10, 13, 130]),
    ),
    at({ shared: [0], filled: 1 }, [f32([2, 1, 1], [3, 4]), f32([2, 1, 1], [5, 6]), i32([2, 1], [1, 0])], f32([2, 1, 1, 1], [15, 0])),
  ],
  gather: [
    at({ batch: 1 }, [f32([2, 2, 1], [1, 2, 3, 4]), i32([2, 1], [0, -1])], f32([2, 1, 1], [1, 0])),
    at({}, [rows, i32([3], [2, 0, 2])], f32([3, 2], [5, 6, 1, 2, 5, 6])),
    at({}, [rows, i32([4], [-1, 3, 4, 0])], f32([4, 2], [0, 0, 7, 8, 0, 0, 1, 2])),
    at({ batch: 1 }, [f32([2, 2, 1], [1, 2, 3, 4]), i32([2, 2], [1, 0, 0, 2])], f32([2, 2, 1], [2, 1, 3, 0])),
  ],
  scatter: [
    at({ rows: 2, batch: 1 }, [i32([2, 1], [0, -1]), f32([2, 1], [1, 2])], f32([2, 2], [1, 0, 0, 0])),
    at({ rows: 3 }, [i32([3], [2, 0, 2]), f32([3, 2], [1, 2, 3, 4, 5, 6])], f32([3, 2], [3, 4, 0, 0, 6, 8])),
    at({ rows: 2 }, [i32([3], [-1, 1, 2]), f32([3], [1, 2, 3])], f32([2], [0, 2])),
    at({ rows: 2, batch: 1 }, [i32([2, 2], [1, 1, 0, 5]), f32([2, 2], [1, 2, 3, 4])], f32([2, 2], [0, 3, 3, 0])),
  ],
};

const evaluate = (name: OpName, attrs: OpAttrs[OpName], inputs: readonly Tensor[]): Tensor => {
  const def = ops[name] as OpDef<OpName>;
  const type = def.type(
    inputs.map(({ dtype, dims }) => ({ dtype, dims })),
    attrs,
  );
  return ensure(def.evaluate, "meaning")(inputs, attrs, type);
};

describe("results of ops", () => {
  for (const [name, own] of Object.entries(cases) as [OpName, readonly ValueCase[]][])
    own.forEach(({ inputs, attrs, expected }, i) =>
      it(`${name} computes the numbers of example ${i + 1}`, () => {
        const got = evaluate(name, attrs, inputs);
        deepStrictEqual([got.dtype, got.dims], [expected.dtype, expected.dims]);
        expected.data.forEach((v, at) => {
          const error = Math.abs((got.data[at] ?? Number.NaN) - v);
          ok(error <= 1e-13 * Math.abs(v) || (name.startsWith("erf") && error <= 2e-13), `element ${at}: ${got.data[at]} for ${v}`);
        });
      }),
    );

  it("random numbers depend on key and position alone, and are scaled, rounded to f32 and distributed as their name says", () => {
    const normal = (key: number, scale: number, size = 4000): Numbers => [...evaluate("rng_normal", { dims: [size], key, scale }, []).data];
    const uniform = (key: number, size = 4000): Numbers => [...evaluate("rng_uniform", { dims: [size] }, [i32([], [key])]).data];
    deepStrictEqual(
      normal(3, 2, 5),
      normal(3, 1)
        .slice(0, 5)
        .map((v) => v * 2),
    );
    deepStrictEqual(uniform(3, 5), uniform(3).slice(0, 5));
    strictEqual(evaluate("rng_uniform", { dims: [2] }, [i32([], [3])]).dtype, "f32");
    strictEqual(evaluate("rng_normal", { dims: [2], key: 3, scale: 1 }, []).dtype, "f32");
    for (const draw of [normal(3, 1), uniform(3)]) {
      strictEqual(new Set(draw).size > 3990, true);
      ok(draw.every((v) => Math.fround(v) === v));
    }
    ok(normal(3, 1)[0] !== normal(4, 1)[0] && uniform(3)[0] !== uniform(4)[0]);
    const mean = (xs: Numbers): number => xs.reduce((a, b) => a + b, 0) / xs.length;
    ok(Math.abs(mean(normal(3, 1))) < 0.05 && Math.abs(mean(normal(3, 1).map((v) => v * v)) - 1) < 0.1);
    ok(Math.abs(mean(uniform(3)) - 0.5) < 0.02 && uniform(3).every((v) => v > 0 && v < 1));
  });

  it("parts that are written to their positions fill an array", () => {
    const target = f32([2, 3], [0, 0, 0, 0, 0, 0]);
    putIndices(
      target,
      [
        [1, 0],
        [2, 0],
      ],
      f32([2, 2], [1, 2, 3, 4]),
    );
    deepStrictEqual([...target.data], [4, 0, 3, 2, 0, 1]);
    strictEqual(sizeOf([2, 3, 4]), 24);
  });
});
