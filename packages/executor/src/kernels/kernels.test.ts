import assert from "node:assert/strict";
import {
  type BinaryName,
  type Graph,
  GraphBuilder,
  type UnaryName,
  binaryNames,
  binaryOps,
  interpret,
  tableOf,
  tensor,
  tensorType,
  unaryNames,
  unaryOps,
  type TensorType,
  type Value,
} from "@lapidary/ir";
import { ensure, seededRandom, uniformAt } from "@lapidary/std";
import { type Device, openDevice } from "../device/device.js";
import type { BackendName } from "../device/tfjs.js";
import { roundArrayToBf16 } from "./bf16.js";
import { type KernelName, kernels } from "./index.js";
import { difference, evaluateByKernels, randomInputsOf, within } from "./testing.js";

type Build = (g: GraphBuilder) => void;
const f = (...dims: number[]) => tensorType("f32", dims);
const i = (...dims: number[]) => tensorType("i32", dims);

/** A graph with the output `y`. */
function graphOf(build: Build): Graph {
  const g = new GraphBuilder("case");
  build(g);
  g.output("y", ensure(g.values.at(-1), "value"));
  return g.finish();
}

const stopGradient: Build[] = [(g) => g.stopGradient(g.parameter("x", f(2, 3))), (g) => g.stopGradient(g.parameter("x", f()))];
const unary = (name: UnaryName): Build[] =>
  [f(2, 3), f()].map((type) => (g) => g.op(name, [within(g, g.parameter("x", type), unaryOps[name].domain)], {}));
const binary = (name: BinaryName): Build[] => {
  const [left, right] = binaryOps[name].domain;
  return [f(2, 3), f()].map(
    (type) => (g) => g.op(name, [within(g, g.parameter("x", type), left), within(g, g.parameter("y", type), right)], {}),
  );
};
const ofIntegers = (name: UnaryName | BinaryName): Build => {
  const names = name in unaryOps ? ["x"] : ["x", "y"];
  return (g) =>
    g.op(
      name,
      names.map((operand) => g.parameter(operand, i(4))),
      {},
    );
};

/** Cases of an op on two floats with its own kernel, one with an operand that repeats along a dim. */
const real = (name: "power" | "remainder" | "atan2", range: readonly [number, number]): Build[] => [
  (g) => g.op(name, [within(g, g.parameter("x", f(2, 3)), range), within(g, g.parameter("y", f(2, 3)), range)], {}),
  (g) =>
    g.op(name, [within(g, g.parameter("x", f(2, 3)), range), g.broadcastInDim(within(g, g.parameter("y", f(3)), range), [2, 3], [1])], {}),
];
/** Cases of an op on bits, also of numbers below zero. */
const bits = (name: "bitwise_and" | "bitwise_or" | "bitwise_xor" | "shift_left" | "shift_right_arithmetic", amount?: number): Build[] => {
  const large = (g: GraphBuilder, x: Value): Value => g.multiply(x, g.splat(-715827883, x.type));
  return [
    (g) =>
      g.op(
        name,
        [large(g, g.parameter("x", i(2, 3))), amount === undefined ? large(g, g.parameter("y", i(2, 3))) : g.splat(amount, i(2, 3))],
        {},
      ),
    (g) =>
      g.op(
        name,
        [
          large(g, g.parameter("x", i(2, 3))),
          g.broadcastInDim(amount === undefined ? g.parameter("y", i(3)) : g.splat(amount, i(3)), [2, 3], [1]),
        ],
        {},
      ),
  ];
};

/** Three iterations, each of which adds the value of the first. */
const counted = (g: GraphBuilder, type: TensorType): Value => {
  const x = g.parameter("x", type);
  const [sum] = g.repeat(3, [x], ([carried]) => [g.add(ensure(carried, "sum"), x)]);
  return ensure(sum, "sum");
};

/** At least one case for each op. The table is total, so that a new kernel needs a case. */
const cases: { readonly [N in KernelName]: readonly Build[] } = {
  ...tableOf(unaryNames, unary),
  ...tableOf(binaryNames, binary),
  constant: [(g) => g.splat(1.5, f(2, 3)), (g) => g.splat(7, i(3)), (g) => g.splat(1, tensorType("pred", [2])), (g) => g.splat(-2, f())],
  iota: [(g) => g.iota(i(2, 3), 1), (g) => g.iota(f(2, 3, 2), 0)],
  rng_normal: [(g) => g.rngNormal([3, 4], 17, 0.02), (g) => g.rngNormal([5], 3, 1)],
  rng_uniform: [(g) => g.rngUniform([3, 4], g.scalar(17, "i32")), (g) => g.rngUniform([5], g.parameter("key", i()))],
  carry: [(g) => counted(g, f(2, 3)), (g) => counted(g, i(4))],
  yield: [(g) => counted(g, f())],
  negate: [...unary("negate"), ofIntegers("negate")],
  abs: [...unary("abs"), ofIntegers("abs")],
  stop_gradient: stopGradient,
  convert: [
    (g) => g.convert(g.parameter("x", f(2, 3)), "i32"),
    (g) => g.convert(g.parameter("x", i(2, 3)), "f32"),
    (g) => g.convert(g.parameter("x", i(4)), "pred"),
    (g) => g.convert(g.parameter("x", tensorType("pred", [4])), "f32"),
    (g) => g.convert(g.parameter("x", tensorType("pred", [4])), "i32"),
    (g) => g.convert(g.parameter("x", tensorType("bf16", [4])), "f32"),
    (g) => g.convert(g.convert(g.parameter("x", i(4)), "bf16"), "f32"),
  ],
  add: [...binary("add"), ofIntegers("add")],
  subtract: [...binary("subtract"), ofIntegers("subtract")],
  multiply: [...binary("multiply"), ofIntegers("multiply")],
  divide: [...binary("divide"), (g) => g.divide(g.scale(g.parameter("x", i(4)), 6), g.splat(3, i(4)))],
  maximum: [...binary("maximum"), ofIntegers("maximum")],
  minimum: [...binary("minimum"), ofIntegers("minimum")],
  and: [(g) => g.and(g.parameter("x", tensorType("pred", [2, 3])), g.parameter("y", tensorType("pred", [2, 3])))],
  power: real("power", [0.5, 2]),
  remainder: [...real("remainder", [0.5, 2]), (g) => g.op("remainder", [g.scale(g.parameter("x", i(4)), 6), g.splat(4, i(4))], {})],
  atan2: real("atan2", [-2, 2]),
  bitwise_and: bits("bitwise_and"),
  bitwise_or: bits("bitwise_or"),
  bitwise_xor: bits("bitwise_xor"),
  shift_left: bits("shift_left", 5),
  shift_right_arithmetic: bits("shift_right_arithmetic", 3),
  bitcast_convert: [
    (g) => g.op("bitcast_convert", [g.parameter("x", f(2, 3))], { dtype: "i32" }),
    (g) => g.op("bitcast_convert", [g.offset(g.parameter("x", i(4)), 0x3f800000)], { dtype: "f32" }),
  ],
  compare: (["EQ", "NE", "LT", "LE", "GT", "GE"] as const).flatMap((direction): Build[] => [
    (g) => g.compare(g.parameter("x", i(9)), g.parameter("y", i(9)), direction),
    (g) => g.compare(g.parameter("x", f(3)), g.parameter("y", f(3)), direction),
  ]),
  select: [
    (g) => g.select(g.parameter("p", tensorType("pred", [2, 3])), g.parameter("x", f(2, 3)), g.parameter("y", f(2, 3))),
    (g) => g.select(g.parameter("p", tensorType("pred", [3])), g.parameter("x", i(3)), g.parameter("y", i(3))),
  ],
  broadcast_in_dim: [
    (g) => g.broadcastInDim(g.parameter("x", f(3)), [2, 3], [1]),
    (g) => g.broadcastInDim(g.parameter("x", f(2)), [2, 3], [0]),
    (g) => g.broadcastInDim(g.parameter("x", f(2, 1, 4)), [2, 3, 4], [0, 1, 2]),
    (g) => g.broadcastInDim(g.parameter("x", i()), [2, 2], []),
    (g) => g.broadcastInDim(g.parameter("x", f(2, 3)), [2, 1, 3], [0, 2]),
    (g) => g.broadcastInDim(g.parameter("x", tensorType("pred", [3])), [2, 3], [1]),
    // Six groups of neighbouring dims that are repeated or kept in turn.
    (g) => g.broadcastInDim(g.parameter("x", f(2, 3, 2)), [3, 2, 2, 3, 2, 2], [1, 3, 5]),
  ],
  reshape: [
    (g) => g.reshape(g.parameter("x", f(2, 6)), [3, 4]),
    (g) => g.reshape(g.parameter("x", f(1)), []),
    (g) => g.reshape(g.parameter("x", tensorType("pred", [4])), [2, 2]),
  ],
  transpose: [
    (g) => g.transpose(g.parameter("x", f(2, 3, 4)), [2, 0, 1]),
    (g) => g.transpose(g.parameter("x", i(1, 3)), [1, 0]),
    (g) => g.transpose(g.parameter("x", f(2, 1, 3)), [1, 0, 2]),
  ],
  slice: [(g) => g.slice(g.parameter("x", f(4, 5)), [1, 2], [3, 5]), (g) => g.slice(g.parameter("x", i(4)), [0], [2])],
  pad: [
    (g) => g.pad(g.parameter("x", f(2, 3)), [1, 0], [0, 2]),
    (g) => g.pad(g.parameter("x", tensorType("pred", [3])), [1], [1]),
    (g) => g.pad(g.parameter("x", i(2)), [0], [1]),
  ],
  dynamic_slice: [
    (g) => g.dynamicSlice(g.parameter("x", f(2, 5, 3)), g.scalar(2, "i32"), 1, 2),
    (g) => g.dynamicSlice(g.parameter("x", i(6)), g.scalar(9, "i32"), 0, 2),
    (g) => g.dynamicSlice(g.parameter("x", f(3, 4)), g.scalar(-1, "i32"), 0, 1),
  ],
  dynamic_update_slice: [
    (g) => g.dynamicUpdateSlice(g.parameter("x", f(2, 5, 3)), g.parameter("y", f(2, 2, 3)), g.scalar(1, "i32"), 1),
    (g) => g.dynamicUpdateSlice(g.parameter("x", f(4, 3)), g.parameter("y", f(1, 3)), g.scalar(7, "i32"), 0),
    (g) => g.dynamicUpdateSlice(g.parameter("x", i(3)), g.parameter("y", i(3)), g.scalar(1, "i32"), 0),
  ],
  concatenate: [
    (g) => g.concatenate([g.parameter("x", f(2, 3)), g.parameter("y", f(2, 1)), g.parameter("z", f(2, 2))], 1),
    (g) => g.concatenate([g.parameter("x", i(3))], 0),
  ],
  reduce: (["sum", "max", "min"] as const).flatMap((kind): Build[] => [
    (g) => g.reduce(g.parameter("x", f(2, 3, 4)), [1], kind),
    (g) => g.reduce(g.parameter("x", f(2, 3, 4)), [0, 2], kind),
    (g) => g.reduce(g.parameter("x", f(5)), [0], kind),
    (g) => g.reduce(g.parameter("x", i(2, 3)), [0], kind),
  ]),
  dot_general: [
    (g) => g.dotGeneral(g.parameter("x", f(2, 3)), g.parameter("y", f(3, 4)), [], [[1, 0]]),
    (g) =>
      g.dotGeneral(
        g.parameter("x", f(2, 3, 4, 5)),
        g.parameter("y", f(2, 6, 4, 5)),
        [
          [0, 0],
          [2, 2],
        ],
        [[3, 3]],
      ),
    (g) => g.dotGeneral(g.parameter("x", f(2, 3)), g.parameter("y", f(4)), [], []),
    (g) => g.dotGeneral(g.parameter("x", f(3)), g.parameter("y", f(3)), [], [[0, 0]]),
    (g) =>
      g.dotGeneral(
        g.parameter("x", f(2, 3)),
        g.parameter("y", f(2, 3)),
        [
          [0, 0],
          [1, 1],
        ],
        [],
      ),
  ],
  cumsum: [
    (g) => g.cumsum(g.parameter("x", f(2, 5)), 1),
    (g) => g.cumsum(g.parameter("x", f(3, 2, 2)), 0),
    (g) => g.cumsum(g.parameter("x", i(2, 4)), 1),
    (g) => g.op("cumsum", [g.parameter("x", f(2, 5, 3))], { dimension: 1, reverse: true }),
  ],
  shift: [
    (g) => g.shift(g.parameter("x", f(2, 5)), 1, 2, false),
    (g) => g.shift(g.parameter("x", f(3, 2, 2)), 0, -1, false),
    (g) => g.shift(g.parameter("x", f(3, 4)), 1, 1, true),
    (g) => g.shift(g.parameter("x", i(4)), 0, -3, true),
    (g) => g.shift(g.parameter("x", f(4, 2)), 0, 4, false),
    (g) => g.shift(g.broadcastInDim(g.parameter("x", f(3)), [4, 3], [1]), 0, 1, false),
  ],
  pick: [
    (g) => g.pick(g.parameter("x", f(3, 4, 2)), 0, 1, [2, 0, 1, 1]),
    (g) => g.pick(g.parameter("x", f(4, 3, 2)), 1, 0, [2, 0, 1, 1]),
    (g) => g.pick(g.parameter("x", f(2, 3, 5)), 2, 0, [4, 1]),
    (g) => g.pick(g.parameter("x", i(5, 3, 2)), 0, 2, [4, 1]),
    (g) => g.pick(g.broadcastInDim(g.parameter("x", f(4, 3)), [2, 4, 3], [1, 2]), 0, 2, [1, 0, 1]),
  ],
  ragged_dot: [
    (g) =>
      g.raggedDot(g.parameter("x", f(2, 6, 3)), g.parameter("w", f(3, 2, 3)), g.parameter("sizes", i(2, 3)), { shared: [], filled: 1 }),
    (g) => g.raggedDot(g.parameter("x", f(5, 3)), g.parameter("w", f(2, 4, 3)), g.iota(i(2), 0), { shared: [], filled: 1 }),
    (g) => g.raggedDot(g.parameter("x", f(5, 3)), g.parameter("w", f(2, 4, 3)), g.splat(0, i(2)), { shared: [], filled: 1 }),
    (g) =>
      g.op(
        "ragged_dot",
        [g.parameter("x", f(3, 2, 6, 3)), g.parameter("w", f(2, 4, 3, 5)), g.offset(g.parameter("sizes", i(3, 2, 4)), -1)],
        {
          ...{ shared: [1], filled: 1, transposed: true },
        },
      ),
    (g) =>
      g.raggedDot(g.broadcastInDim(g.parameter("x", f(5, 3)), [2, 5, 3], [1, 2]), g.parameter("w", f(2, 4, 3)), g.splat(2, i(2, 2)), {
        ...{ shared: [], filled: 1 },
      }),
  ],
  ragged_contract: [
    (g) =>
      g.op("ragged_contract", [g.parameter("x", f(3, 2, 6, 3)), g.parameter("y", f(3, 2, 6, 2)), g.parameter("sizes", i(3, 2, 4))], {
        ...{ shared: [1], filled: 1 },
      }),
    (g) => g.op("ragged_contract", [g.parameter("x", f(6, 3)), g.parameter("y", f(6, 2)), g.splat(0, i(2))], { shared: [], filled: 1 }),
    (g) => g.op("ragged_contract", [g.parameter("x", f(6, 3)), g.parameter("y", f(6, 2)), g.iota(i(3), 0)], { shared: [], filled: 1 }),
  ],
  gather: [
    (g) => g.gather(g.parameter("x", f(2, 4, 3)), g.parameter("ids", i(2, 5)), 1),
    (g) => g.gather(g.parameter("x", f(2, 3, 4)), g.parameter("ids", i(2, 3, 2)), 2),
    (g) => g.gather(g.parameter("x", f(3, 2, 2)), g.offset(g.parameter("ids", i(3, 6)), -1), 1),
    (g) => g.gather(g.parameter("x", f(4, 3)), g.parameter("ids", i(2, 3))),
    (g) => g.gather(g.parameter("x", f(4)), g.parameter("ids", i(5))),
    (g) => g.gather(g.parameter("x", f(2, 2, 2)), g.parameter("ids", i(6))),
    (g) => g.gather(g.parameter("x", f(3, 2)), g.offset(g.parameter("ids", i(6)), -1)),
  ],
  scatter: [
    (g) => g.scatter(g.parameter("ids", i(2, 6)), g.parameter("x", f(2, 6, 2)), 4, 1),
    (g) => g.scatter(g.offset(g.parameter("ids", i(3, 4, 2)), -1), g.parameter("x", f(3, 4, 2, 2)), 2, 1),
    (g) => g.scatter(g.parameter("ids", i(6)), g.parameter("x", f(6, 2)), 4),
    (g) => g.scatter(g.parameter("ids", i(2, 3)), g.parameter("x", f(2, 3)), 4),
    (g) => g.scatter(g.offset(g.parameter("ids", i(8)), -1), g.parameter("x", f(8, 2)), 2),
  ],
};

for (const backend of ["tensorflow", "wasm"] as const satisfies readonly BackendName[])
  describe(`kernels on ${backend}`, () => {
    let device: Device;
    before(async () => {
      device = await openDevice(backend);
      assert.equal(device.backend, backend);
    });

    for (const name of Object.keys(kernels) as KernelName[])
      it(`the kernel computes ${name} as the interpreter does`, () => {
        cases[name].forEach((build, at) => {
          const graph = graphOf(build);
          assert.ok(
            graph.values.some((value) => value.op === name),
            `case ${at} holds the op`,
          );
          for (let seed = 0; seed < 3; seed++) {
            const inputs = randomInputsOf(seededRandom(seed), graph);
            const held = device.tf.memory().numTensors;
            const y = ensure(evaluateByKernels(device, graph, inputs).get("y"), "y");
            assert.equal(device.tf.memory().numTensors, held, `case ${at} disposes all its tensors`);
            assert.ok(
              difference(y, ensure(interpret(graph, inputs).get("y"), "y")) < 2e-6,
              `case ${at}, seed ${seed}: ${y.data.join(" ")}`,
            );
          }
        });
      });

    it("rng_uniform has the bits of uniformAt, for keys and indices of any sign", () => {
      for (const key of [0, 1, -7, 2 ** 31 - 1]) {
        const g = new GraphBuilder("case");
        g.output("y", g.rngUniform([3, 5, 7], g.scalar(key, "i32")));
        const y = evaluateByKernels(device, g.finish(), new Map()).get("y");
        assert.deepEqual(
          y?.data,
          Float64Array.from({ length: 105 }, (_, i) => uniformAt(key, i)),
        );
      }
    });

    it("convert rounds to the nearest bf16, ties to even", () => {
      const numbers = [1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -3.14159, 1e-30, 3e38, 0, 65504.7];
      const graph = graphOf((g) => g.convert(g.parameter("x", f(numbers.length)), "bf16"));
      const y = ensure(evaluateByKernels(device, graph, new Map([["x", tensor("f32", [numbers.length], numbers)]])).get("y"), "y");
      assert.deepEqual([...y.data], [...roundArrayToBf16(Float32Array.from(numbers))]);
      assert.deepEqual([...y.data].slice(0, 4), [1, 1, 1 + 2 ** -6, 1 + 2 ** -7]);
    });

    it("under mxu, only the operands of matmuls are rounded", () => {
      const graph = graphOf((g) => g.dotGeneral(g.parameter("x", f(2, 3)), g.parameter("y", f(3, 2)), [], [[1, 0]]));
      const inputs = randomInputsOf(seededRandom(5), graph);
      const rounded = new Map([...inputs].map(([name, x]) => [name, tensor("f32", x.dims, roundArrayToBf16(Float32Array.from(x.data)))]));
      const y = ensure(evaluateByKernels(device, graph, inputs, "mxu").get("y"), "y");
      assert.ok(difference(y, ensure(interpret(graph, rounded).get("y"), "y")) < 1e-6);
      assert.ok(difference(y, ensure(interpret(graph, inputs).get("y"), "y")) > 1e-5);
    });
  });
