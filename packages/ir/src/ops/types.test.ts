import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import type { LocalOpName, OpAttrs, OpName } from "../attrs.js";
import type { OpDef } from "../op.js";
import { parseType, printType } from "../types.js";
import { type BinaryName, type UnaryName, binaryNames, makesOwnPart, ops, unaryNames } from "./index.js";

/** Operands, attributes, and the type of the result, or null if the op rejects them. Each rejected use violates one rule alone. */
type Use<N extends OpName> = readonly [types: readonly string[], attrs: OpAttrs[N], result: string | null];

const typeOf = (name: OpName, types: readonly string[], attrs: OpAttrs[OpName]): string =>
  printType((ops[name] as OpDef<OpName>).type(types.map(parseType), attrs));

const pads = (low: readonly number[], high: readonly number[]): OpAttrs["pad"] => ({ low, high });
const dot = (batch: OpAttrs["dot_general"]["batch"], contracting: OpAttrs["dot_general"]["contracting"]): OpAttrs["dot_general"] => ({
  batch,
  contracting,
});
const ragged = (shared: readonly number[]): OpAttrs["ragged_dot"] => ({ shared, filled: 1, transposed: false });
const bitUses: readonly Use<"bitwise_and">[] = [
  [["i32[2]", "i32[2]"], {}, "i32[2]"],
  [["f32[2]", "f32[2]"], {}, null],
  [["i32[2]", "i32[3]"], {}, null],
];
const realUses: readonly Use<"power">[] = [
  [["f32[2]", "f32[2]"], {}, "f32[2]"],
  [["f32[2]", "f32[1]"], {}, null],
];

const uses: { readonly [N in Exclude<LocalOpName, "parameter" | UnaryName | BinaryName>]: readonly Use<N>[] } = {
  constant: [[[], { value: 1, dims: [2, 3], dtype: "i32" }, "i32[2,3]"]],
  iota: [
    [[], { dims: [2, 3], dimension: 0, dtype: "i32" }, "i32[2,3]"],
    [[], { dims: [2, 3], dimension: 1, dtype: "f32" }, "f32[2,3]"],
    [[], { dims: [2, 3], dimension: 2, dtype: "i32" }, null],
    [[], { dims: [2, 3], dimension: -1, dtype: "i32" }, null],
  ],
  rng_normal: [[[], { dims: [2, 3], key: 1, scale: 1 }, "f32[2,3]"]],
  rng_uniform: [
    [["i32[]"], { dims: [2, 3] }, "f32[2,3]"],
    [["f32[]"], { dims: [2, 3] }, null],
    [["i32[1]"], { dims: [2, 3] }, null],
  ],
  carry: [
    [["i32[2]"], {}, "i32[2]"],
    [[], {}, null],
  ],
  yield: [
    [["f32[2]", "f32[2]"], {}, "f32[2]"],
    [["f32[2]", "f32[3]"], {}, null],
    [["f32[2]"], {}, null],
  ],
  stop_gradient: [
    [["i32[2]"], {}, "i32[2]"],
    [["pred[2]"], {}, null],
    [[], {}, null],
  ],
  convert: [[["f32[2,3]"], { dtype: "bf16" }, "bf16[2,3]"]],
  and: [
    [["pred[2]", "pred[2]"], {}, "pred[2]"],
    [["i32[2]", "i32[2]"], {}, null],
    [["pred[2]", "pred[3]"], {}, null],
  ],
  power: realUses,
  remainder: realUses,
  atan2: realUses,
  bitwise_and: bitUses,
  bitwise_or: bitUses,
  bitwise_xor: bitUses,
  shift_left: bitUses,
  shift_right_arithmetic: bitUses,
  bitcast_convert: [
    [["f32[2]"], { dtype: "i32" }, "i32[2]"],
    [["i32[2]"], { dtype: "f32" }, "f32[2]"],
    [["bf16[2]"], { dtype: "i32" }, null],
    [["f32[2]"], { dtype: "bf16" }, null],
    [[], { dtype: "f32" }, null],
  ],
  compare: [
    [["f32[2]", "f32[2]"], { direction: "LT" }, "pred[2]"],
    [["f32[2]", "i32[2]"], { direction: "LT" }, null],
    [["f32[2]", "f32[3]"], { direction: "LT" }, null],
    [["f32[2]"], { direction: "LT" }, null],
  ],
  select: [
    [["pred[2]", "f32[2]", "f32[2]"], {}, "f32[2]"],
    [["i32[2]", "f32[2]", "f32[2]"], {}, null],
    [["pred[2]", "f32[2]", "i32[2]"], {}, null],
    [["pred[3]", "f32[2]", "f32[2]"], {}, null],
    [["pred[2]", "f32[2]"], {}, null],
  ],
  broadcast_in_dim: [
    [["f32[2,1]"], { dims: [2, 3, 4], broadcastDimensions: [0, 2] }, "f32[2,3,4]"],
    [["f32[]"], { dims: [2], broadcastDimensions: [] }, "f32[2]"],
    [["f32[2,1]"], { dims: [2, 3], broadcastDimensions: [0] }, null],
    [["f32[2,3]"], { dims: [2, 3], broadcastDimensions: [1, 0] }, null],
    [["f32[1,1]"], { dims: [2, 3], broadcastDimensions: [1, 1] }, null],
    [["f32[2]"], { dims: [3], broadcastDimensions: [0] }, null],
    [["f32[1]"], { dims: [3], broadcastDimensions: [1] }, null],
    [["f32[1]"], { dims: [3], broadcastDimensions: [-1] }, null],
  ],
  reshape: [
    [["f32[2,6]"], { dims: [3, 4] }, "f32[3,4]"],
    [["f32[2,6]"], { dims: [3, 5] }, null],
  ],
  transpose: [
    [["f32[2,3,4]"], { permutation: [2, 0, 1] }, "f32[4,2,3]"],
    [["f32[2,3]"], { permutation: [0, 0] }, null],
    [["f32[2,3]"], { permutation: [0] }, null],
    [["f32[2,3]"], { permutation: [1, 2] }, null],
    [["f32[2,3]"], { permutation: [-1, 0] }, null],
  ],
  slice: [
    [["f32[4,5]"], { start: [0, 4], limit: [4, 5] }, "f32[4,1]"],
    [["f32[4,5]"], { start: [0, 5], limit: [4, 5] }, null],
    [["f32[4,5]"], { start: [0, 0], limit: [4, 6] }, null],
    [["f32[4,5]"], { start: [-1, 0], limit: [4, 5] }, null],
    [["f32[4,5]"], { start: [0], limit: [4, 5] }, null],
    [["f32[4,5]"], { start: [0, 0], limit: [4, 5, 6] }, null],
  ],
  dynamic_slice: [
    [["f32[4,5]", "i32[]"], { dimension: 1, size: 5 }, "f32[4,5]"],
    [["f32[4,5]", "i32[]"], { dimension: 0, size: 1 }, "f32[1,5]"],
    [["f32[4,5]", "i32[]"], { dimension: 1, size: 6 }, null],
    [["f32[4,5]", "i32[]"], { dimension: 1, size: 0 }, null],
    [["f32[4,5]", "i32[]"], { dimension: 2, size: 1 }, null],
    [["f32[4,5]", "i32[]"], { dimension: -1, size: 1 }, null],
    [["f32[4,5]", "f32[]"], { dimension: 1, size: 1 }, null],
    [["f32[4,5]", "i32[1]"], { dimension: 1, size: 1 }, null],
  ],
  dynamic_update_slice: [
    [["f32[4,5]", "f32[4,5]", "i32[]"], { dimension: 1 }, "f32[4,5]"],
    [["f32[4,5]", "f32[4,1]", "i32[]"], { dimension: 1 }, "f32[4,5]"],
    [["f32[4,5]", "f32[4,6]", "i32[]"], { dimension: 1 }, null],
    [["f32[4,5]", "f32[4,0]", "i32[]"], { dimension: 1 }, null],
    [["f32[4,5]", "f32[3,5]", "i32[]"], { dimension: 1 }, null],
    [["f32[4,5]", "i32[4,1]", "i32[]"], { dimension: 1 }, null],
    [["f32[4,5]", "f32[4,1,1]", "i32[]"], { dimension: 1 }, null],
    [["f32[4,5]", "f32[4,5]", "i32[]"], { dimension: 2 }, null],
    [["f32[4,5]", "f32[4,5]", "i32[]"], { dimension: -1 }, null],
    [["f32[4,5]", "f32[4,1]", "f32[]"], { dimension: 1 }, null],
  ],
  pad: [
    [["f32[4,5]"], pads([1, 0], [0, 2]), "f32[5,7]"],
    [["f32[4,5]"], pads([1, -1], [0, 2]), null],
    [["f32[4,5]"], pads([1, 0], [0, -2]), null],
    [["f32[4,5]"], pads([1], [0, 2]), null],
    [["f32[4,5]"], pads([1, 0], [0]), null],
  ],
  concatenate: [
    [["f32[4,5]", "f32[4,2]"], { dimension: 1 }, "f32[4,7]"],
    [["f32[4,5]", "f32[3,5]"], { dimension: 0 }, "f32[7,5]"],
    [["f32[4,5]", "f32[3,5]"], { dimension: 1 }, null],
    [["f32[4,5]", "i32[4,5]"], { dimension: 1 }, null],
    [["f32[4,5]", "f32[4]"], { dimension: 0 }, null],
    [["f32[4,5]"], { dimension: 2 }, null],
    [["f32[4,5]"], { dimension: -1 }, null],
    [[], { dimension: 0 }, null],
  ],
  constrain: [
    [["f32[4,5]"], { logicalAxes: ["batch", null] }, "f32[4,5]"],
    [["f32[4,5]"], { logicalAxes: ["batch"] }, null],
  ],
  cumsum: [
    [["f32[4,5]"], { dimension: 0, reverse: false }, "f32[4,5]"],
    [["i32[4,5]"], { dimension: 1, reverse: true }, "i32[4,5]"],
    [["pred[4,5]"], { dimension: 1, reverse: true }, null],
    [["f32[4,5]"], { dimension: 2, reverse: false }, null],
    [["f32[4,5]"], { dimension: -1, reverse: false }, null],
  ],
  shift: [
    [["f32[4,5]"], { dimension: 1, by: -2, wrap: true }, "f32[4,5]"],
    [["pred[4]"], { dimension: 0, by: 9, wrap: false }, "pred[4]"],
    [["f32[4,5]"], { dimension: 2, by: 1, wrap: false }, null],
    [["f32[4,5]"], { dimension: -1, by: 1, wrap: false }, null],
    [["f32[4,5]"], { dimension: 0, by: 0.5, wrap: false }, null],
  ],
  pick: [
    [["f32[3,2,5]"], { from: 0, by: 1, table: [2, 0] }, "f32[2,5]"],
    [["i32[2,5,3]"], { from: 2, by: 0, table: [2, 0] }, "i32[2,5]"],
    [["f32[3,2]"], { from: 0, by: 0, table: [2, 0, 1] }, null],
    [["f32[3,2]"], { from: 2, by: 1, table: [2, 0] }, null],
    [["f32[3,2]"], { from: 0, by: 1, table: [3, 0] }, null],
    [["f32[3,2]"], { from: 0, by: 1, table: [0, -1] }, null],
    [["f32[3,2]"], { from: 0, by: 1, table: [0, 1, 2] }, null],
  ],
  reduce: [
    [["f32[4,5,6]"], { dims: [0, 2], kind: "max" }, "f32[5]"],
    [["f32[4,5,6]"], { dims: [], kind: "sum" }, null],
    [["f32[4,5,6]"], { dims: [1, 1], kind: "sum" }, null],
    [["f32[4,5,6]"], { dims: [3], kind: "sum" }, null],
    [["f32[4,5,6]"], { dims: [0, 3], kind: "sum" }, null],
    [["f32[4,5,6]"], { dims: [-1], kind: "sum" }, null],
  ],
  dot_general: [
    [["f32[2,3,4]", "f32[4,2,5]"], dot([[0, 1]], [[2, 0]]), "f32[2,3,5]"],
    [["bf16[3,4]", "bf16[5,4]"], dot([], [[1, 1]]), "bf16[3,5]"],
    [["f32[3,4]", "bf16[4,5]"], dot([], [[1, 0]]), null],
    [["i32[3,4]", "i32[4,5]"], dot([], [[1, 0]]), null],
    [["f32[3,4]", "f32[5,4]"], dot([], [[1, 0]]), null],
    [["f32[3,4]", "f32[4,5]"], dot([], [[2, 2]]), null],
    [["f32[4,4]", "f32[4,4]"], dot([[0, 0]], [[0, 1]]), null],
    [["f32[4,4]", "f32[4,4]"], dot([[0, 1]], [[1, 1]]), null],
  ],
  ragged_dot: [
    [["f32[2,4,8,6]", "f32[4,3,2,6]", "i32[2,4,3]"], ragged([1]), "f32[2,4,8,2]"],
    [["f32[2,4,8,6]", "f32[4,3,6,2]", "i32[2,4,3]"], { ...ragged([1]), transposed: true }, "f32[2,4,8,2]"],
    [["f32[8,6]", "f32[3,2,6]", "i32[3]"], ragged([]), "f32[8,2]"],
    [["f32[8,6]", "f32[3,2,6]", "f32[3]"], ragged([]), null],
    [["f32[8,6]", "bf16[3,2,6]", "i32[3]"], ragged([]), null],
    [["f32[8,6]", "f32[3,2,5]", "i32[3]"], ragged([]), null],
    [["f32[8,6]", "f32[4,2,6]", "i32[3]"], ragged([]), null],
    [["f32[2,8,6]", "f32[3,2,6]", "i32[3]"], ragged([]), null],
    [["f32[2,8,6]", "f32[3,2,6]", "i32[2,3]"], ragged([0]), null],
    [["f32[2,8,6]", "f32[8,3,2,6]", "i32[2,3]"], ragged([1]), null],
    [["f32[2,2,8,6]", "f32[2,2,3,2,6]", "i32[2,2,3]"], ragged([0, 0]), null],
    [["i32[8,6]", "i32[3,2,6]", "i32[3]"], ragged([]), null],
  ],
  ragged_contract: [
    [["f32[2,4,8,6]", "f32[2,4,8,5]", "i32[2,4,3]"], ragged([1]), "f32[4,3,5,6]"],
    [["f32[8,6]", "f32[8,5]", "i32[3]"], ragged([]), "f32[3,5,6]"],
    [["f32[8,6]", "f32[7,5]", "i32[3]"], ragged([]), null],
    [["f32[8,6]", "bf16[8,5]", "i32[3]"], ragged([]), null],
    [["f32[8,6]", "f32[8,5]", "f32[3]"], ragged([]), null],
    [["f32[8,6]", "f32[8,5]", "i32[3]"], ragged([0]), null],
  ],
  gather: [
    [["f32[4,5]", "i32[2,3]"], {}, "f32[2,3,5]"],
    [["f32[4]", "i32[]"], {}, "f32[]"],
    [["f32[2,4,5]", "i32[2,3]"], { batch: 1 }, "f32[2,3,5]"],
    [["f32[4,5]", "f32[2,3]"], {}, null],
    [["f32[]", "i32[2]"], {}, null],
    [["f32[2]", "i32[2]"], { batch: 1 }, null],
    [["f32[2,4,5]", "i32[3,3]"], { batch: 1 }, null],
    [["f32[2,4,5]", "i32[]"], { batch: 1 }, null],
  ],
  scatter: [
    [["i32[2,3]", "f32[2,3,5]"], { rows: 4 }, "f32[4,5]"],
    [["i32[2,3]", "f32[2,3,5]"], { rows: 4, batch: 1 }, "f32[2,4,5]"],
    [["f32[2,3]", "f32[2,3,5]"], { rows: 4 }, null],
    [["i32[2,3]", "f32[2,5]"], { rows: 4 }, null],
    [["i32[]", "f32[5]"], { rows: 4, batch: 1 }, null],
  ],
};

describe("types of ops", () => {
  for (const [name, own] of Object.entries(uses) as [OpName, readonly Use<OpName>[]][])
    it(`${name} accepts operands that fit it, and rejects operands that violate one rule`, () => {
      for (const [types, attrs, result] of own) {
        const what = `${name}(${types.join(", ")}) ${JSON.stringify(attrs)}`;
        if (result !== null) strictEqual(typeOf(name, types, attrs), result, what);
        else
          throws(
            () => typeOf(name, types, attrs),
            (error: unknown) => error instanceof LapidaryError && error.code === "LAP_IR_SHAPE",
            `${what} is rejected`,
          );
      }
    });

  it("an op that lacks operands is an error of its shape", () => {
    for (const [name, own] of Object.entries(uses) as [OpName, readonly Use<OpName>[]][]) {
      const [types, attrs] = own.find(([, , result]) => result !== null) ?? [[], {}];
      if (name === "convert" || name === "concatenate") continue;
      for (let count = 0; count < types.length; count++)
        throws(() => typeOf(name, types.slice(0, count), attrs), { code: "LAP_IR_SHAPE" }, `${name} of ${count} operands`);
    }
  });

  it("ops of one operand take floats, and those that are exact take integers too", () => {
    const accepts = (name: UnaryName, type: string): boolean => {
      try {
        return typeOf(name, [type], {}) === type;
      } catch {
        return false;
      }
    };
    for (const name of unaryNames)
      deepStrictEqual(
        ["f32[2]", "bf16[2]", "i32[2]", "pred[2]"].map((type) => accepts(name, type)),
        [true, true, name === "negate" || name === "abs", false],
        name,
      );
  });

  it("ops of two operands take two operands of one type of numbers", () => {
    for (const name of binaryNames) {
      for (const type of ["f32[2]", "bf16[2]", "i32[2]"]) strictEqual(typeOf(name, [type, type], {}), type);
      for (const types of [["f32[2]", "f32[3]"], ["f32[2]", "bf16[2]"], ["pred[2]", "pred[2]"], ["f32[2]"]])
        throws(() => typeOf(name, types, {}), /LAP_IR_SHAPE|operand/, `${name}(${types.join(", ")})`);
    }
  });

  it("a collective multiplies or divides its dim by the size of its group", () => {
    const group = { axes: ["data"], size: 2 };
    const x = ["f32[4,6]"];
    strictEqual(typeOf("all_gather", x, { ...group, dimension: 1 }), "f32[4,12]");
    strictEqual(typeOf("reduce_scatter", x, { ...group, dimension: 0, kind: "sum" }), "f32[2,6]");
    strictEqual(typeOf("all_reduce", x, { ...group, kind: "sum" }), "f32[4,6]");
    strictEqual(typeOf("all_to_all", x, { ...group, splitDimension: 1, concatDimension: 0 }), "f32[8,3]");
    strictEqual(typeOf("shard_slice", x, { ...group, dimension: 0 }), "f32[2,6]");
    throws(() => typeOf("shard_slice", x, { axes: ["data"], size: 4, dimension: 1 }), /divides its dim/);
    throws(() => typeOf("all_gather", [], { ...group, dimension: 1 }), /needs an operand/);
  });

  it("a reduction of n chips adds n - 1 arrays, and other collectives compute nothing", () => {
    const flops = (name: OpName, attrs: object): number =>
      (ops[name] as OpDef<OpName>).flops([parseType("f32[4,6]")], parseType("f32[4,6]"), {
        axes: ["data"],
        size: 3,
        ...attrs,
      } as OpAttrs[OpName]);
    strictEqual(flops("all_reduce", { kind: "sum" }), 48);
    strictEqual(flops("reduce_scatter", { kind: "sum", dimension: 0 }), 48);
    for (const name of ["all_gather", "all_to_all", "shard_slice"] as const) strictEqual(flops(name, { dimension: 0 }), 0);
  });

  it("an op without operands computes its own part on each chip, and a parameter does not", () => {
    deepStrictEqual((Object.keys(ops) as OpName[]).filter(makesOwnPart), ["constant", "iota", "rng_normal"]);
  });
});
