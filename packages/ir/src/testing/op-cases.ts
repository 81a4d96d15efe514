import { ensure, seededRandom } from "@lapidary/std";
import type { LocalOpName, OpAttrs, OpName } from "../attrs.js";
import type { OpDef } from "../op.js";
import { elementwiseNames, ops } from "../ops/index.js";
import { type Tensor, tensor } from "../tensor.js";
import { type TensorType, sizeOf } from "../types.js";

/**
 * One use of an op, and what its definition must say about it.
 *
 * `rule` is the sharding rule as an einsum: `ab,bc->ac b:sum` is a matmul. A letter is a factor, `(ab)` is a dim that consists of two, and
 * `whole` marks a factor that every chip needs whole. `linear` lists the sets of operands in which the op is jointly linear.
 */
export interface OpCase {
  readonly types: readonly string[];
  readonly attrs: OpAttrs[OpName];
  readonly rule: string;
  readonly linear: string;
  readonly flops: number;
  /** Factors whose parts need to know their position in the whole array. */
  readonly placed?: string;
}

const typesOf: { readonly [N in OpName]?: readonly string[] } = {
  and: ["pred[4,6]", "pred[4,6]"],
  bitcast_convert: ["f32[4,6]"],
  bitwise_and: ["i32[4,6]", "i32[4,6]"],
  bitwise_or: ["i32[4,6]", "i32[4,6]"],
  bitwise_xor: ["i32[4,6]", "i32[4,6]"],
  shift_left: ["i32[4,6]", "i32[4,6]"],
  shift_right_arithmetic: ["i32[4,6]", "i32[4,6]"],
  select: ["pred[4,6]", "f32[4,6]", "f32[4,6]"],
};
const attrsOf: { readonly [N in OpName]?: OpAttrs[N] } = {
  convert: { dtype: "bf16" },
  bitcast_convert: { dtype: "i32" },
  compare: { direction: "LT" },
};
const linearOf: { readonly [N in OpName]?: string } = {
  negate: "0",
  stop_gradient: "0",
  add: "01",
  subtract: "01",
  multiply: "0 1",
  divide: "0",
  select: "12",
};

/** Elementwise ops have one rule. */
const elementwiseCase = (name: OpName): OpCase => {
  const types = typesOf[name] ?? Array<string>(ensure(ops[name].arity, "arity")).fill("f32[4,6]");
  return {
    types,
    attrs: attrsOf[name] ?? {},
    rule: `${types.map(() => "ab").join(",")}->ab`,
    linear: linearOf[name] ?? "",
    flops: 24,
  };
};

type Others = Exclude<LocalOpName, "parameter">;
const cases: { readonly [N in Others]?: readonly (OpCase & { readonly attrs: OpAttrs[N] })[] } = {
  constant: [{ types: [], attrs: { value: 2, dims: [4, 6], dtype: "f32" }, rule: "->ab", linear: "", flops: 0 }],
  iota: [{ types: [], attrs: { dims: [4, 6], dimension: 1, dtype: "i32" }, rule: "->ab", linear: "", flops: 0, placed: "b" }],
  rng_normal: [{ types: [], attrs: { dims: [4, 6], key: 3, scale: 2 }, rule: "->ab", linear: "", flops: 0, placed: "ab" }],
  rng_uniform: [{ types: ["i32[]"], attrs: { dims: [4, 6] }, rule: "->ab", linear: "", flops: 0, placed: "ab" }],
  carry: [{ types: ["f32[4,6]"], attrs: {}, rule: "ab->ab", linear: "0", flops: 0 }],
  yield: [{ types: ["f32[4,6]", "f32[4,6]"], attrs: {}, rule: "ab,ab->ab", linear: "01", flops: 0 }],
  broadcast_in_dim: [
    { types: ["f32[4]"], attrs: { dims: [2, 4, 6], broadcastDimensions: [1] }, rule: "b->abc", linear: "0", flops: 0 },
    { types: ["f32[1,4]"], attrs: { dims: [2, 4], broadcastDimensions: [0, 1] }, rule: "-b->ab", linear: "0", flops: 0 },
    { types: ["f32[2,4]"], attrs: { dims: [2, 4], broadcastDimensions: [0, 1] }, rule: "ab->ab", linear: "0", flops: 0 },
  ],
  reshape: [
    { types: ["f32[2,24]"], attrs: { dims: [2, 6, 4] }, rule: "a(bc)->abc", linear: "0", flops: 0 },
    { types: ["f32[2,6,4]"], attrs: { dims: [12, 4] }, rule: "abc->(ab)c", linear: "0", flops: 0 },
    { types: ["f32[6,4]"], attrs: { dims: [4, 6] }, rule: "(ab)c->(ad)e b:whole c:whole d:whole e:whole", linear: "0", flops: 0 },
    { types: ["f32[1,4]"], attrs: { dims: [4, 1, 1] }, rule: "-a->a--", linear: "0", flops: 0 },
    {
      types: ["f32[6,1,4,2]"],
      attrs: { dims: [4, 1, 6, 2] },
      rule: "(ab)-cf->(ad)-ef b:whole c:whole d:whole e:whole",
      linear: "0",
      flops: 0,
    },
  ],
  transpose: [{ types: ["f32[2,4,6]"], attrs: { permutation: [2, 0, 1] }, rule: "abc->cab", linear: "0", flops: 0 }],
  slice: [
    { types: ["f32[4,6]"], attrs: { start: [0, 1], limit: [4, 3] }, rule: "ab->ac b:whole c:whole", linear: "0", flops: 0 },
    { types: ["f32[4,6]"], attrs: { start: [0, 0], limit: [3, 6] }, rule: "ac->bc a:whole b:whole", linear: "0", flops: 0 },
  ],
  pad: [
    { types: ["f32[4,6]"], attrs: { low: [0, 1], high: [0, 0] }, rule: "ab->ac b:whole c:whole", linear: "0", flops: 0 },
    { types: ["f32[4,6]"], attrs: { low: [0, 0], high: [2, 0] }, rule: "ac->bc a:whole b:whole", linear: "0", flops: 0 },
  ],
  concatenate: [
    {
      types: ["f32[4,2]", "f32[4,6]"],
      attrs: { dimension: 1 },
      rule: "ac,ad->ab b:whole c:whole d:whole",
      linear: "01",
      flops: 0,
    },
  ],
  dynamic_slice: [
    { types: ["f32[4,6]", "i32[]"], attrs: { dimension: 1, size: 2 }, rule: "ac,->ab b:whole c:whole", linear: "0", flops: 0 },
  ],
  dynamic_update_slice: [
    {
      types: ["f32[4,6]", "f32[4,2]", "i32[]"],
      attrs: { dimension: 1 },
      rule: "ac,ad,->ab b:whole c:whole d:whole",
      linear: "01",
      flops: 0,
    },
  ],
  constrain: [{ types: ["f32[4,6]"], attrs: { logicalAxes: ["batch", null] }, rule: "ab->ab", linear: "0", flops: 0 }],
  cumsum: [
    { types: ["f32[4,6]"], attrs: { dimension: 0, reverse: false }, rule: "ab->ab a:whole", linear: "0", flops: 24 },
    { types: ["f32[4,6]"], attrs: { dimension: 1, reverse: true }, rule: "ab->ab b:whole", linear: "0", flops: 24 },
  ],
  // If the dim is split, partition replaces the op by a collective_permute.
  shift: [
    { types: ["f32[4,6]"], attrs: { dimension: 0, by: 1, wrap: false }, rule: "ab->ab", linear: "0", flops: 0, placed: "a" },
    { types: ["f32[4,6]"], attrs: { dimension: 1, by: -2, wrap: true }, rule: "ab->ab", linear: "0", flops: 0, placed: "b" },
  ],
  pick: [
    { types: ["f32[3,4,2]"], attrs: { from: 0, by: 1, table: [2, 0, 1, 1] }, rule: "abc->bc a:whole", linear: "0", flops: 0, placed: "b" },
  ],
  reduce: [
    { types: ["f32[2,4,6]"], attrs: { dims: [1], kind: "sum" }, rule: "abc->ac b:sum", linear: "0", flops: 48 },
    { types: ["f32[2,4,6]"], attrs: { dims: [0, 2], kind: "max" }, rule: "abc->b a:max c:max", linear: "", flops: 48 },
    { types: ["f32[4,6]"], attrs: { dims: [0, 1], kind: "min" }, rule: "ab-> a:min b:min", linear: "", flops: 24 },
  ],
  dot_general: [
    {
      types: ["f32[2,4,6]", "f32[6,2,8]"],
      attrs: { batch: [], contracting: [[2, 0]] },
      rule: "abe,ecd->abcd e:sum",
      linear: "0 1",
      flops: 2 * 8 * 16 * 6,
    },
    { types: ["f32[4,6]", "f32[6,2]"], attrs: { batch: [], contracting: [[1, 0]] }, rule: "ac,cb->ab c:sum", linear: "0 1", flops: 96 },
    {
      types: ["f32[2,4,6]", "f32[6,2,8]"],
      attrs: { batch: [[0, 1]], contracting: [[2, 0]] },
      rule: "abd,dac->abc d:sum",
      linear: "0 1",
      flops: 768,
    },
    {
      types: ["f32[2,4,6]", "f32[6,8,2]"],
      attrs: {
        batch: [],
        contracting: [
          [0, 2],
          [2, 0],
        ],
      },
      rule: "cad,dbc->ab c:sum d:sum",
      linear: "0 1",
      flops: 768,
    },
  ],
  ragged_dot: [
    {
      types: ["f32[2,4,8,6]", "f32[4,3,2,6]", "i32[2,4,3]"],
      attrs: { shared: [1], filled: 0.5, transposed: false },
      rule: "abce,bdfe,abd->abcf c:whole d:whole e:sum",
      linear: "0 1",
      flops: 2 * 64 * 2 * 6 * 0.5,
    },
    {
      types: ["f32[2,4,8,6]", "f32[4,2,3,6,2]", "i32[2,4,3]"],
      attrs: { shared: [1, 0], filled: 1, transposed: true },
      rule: "abce,badef,abd->abcf c:whole d:whole e:sum",
      linear: "0 1",
      flops: 2 * 64 * 2 * 6,
    },
  ],
  ragged_contract: [
    {
      types: ["f32[2,4,8,6]", "f32[2,4,8,2]", "i32[2,4,3]"],
      attrs: { shared: [1], filled: 0.25 },
      rule: "abce,abcf,abd->bdfe a:sum c:whole d:whole",
      linear: "0 1",
      flops: 2 * 64 * 2 * 6 * 0.25,
    },
  ],
  gather: [
    { types: ["f32[4,6]", "i32[2,8]"], attrs: {}, rule: "dc,ab->abc d:sum", linear: "0", flops: 0, placed: "d" },
    { types: ["f32[2,4,6]", "i32[2,8]"], attrs: { batch: 1 }, rule: "adc,ab->abc d:sum", linear: "0", flops: 0, placed: "d" },
  ],
  scatter: [
    { types: ["i32[2,8]", "f32[2,8,6]"], attrs: { rows: 4 }, rule: "ab,abc->dc a:sum b:sum", linear: "1", flops: 96, placed: "d" },
    { types: ["i32[2,8]", "f32[2,8,6]"], attrs: { rows: 4, batch: 1 }, rule: "ab,abc->adc b:sum", linear: "1", flops: 96, placed: "d" },
  ],
};

/** The cases of every op but parameters and collectives. */
export const opCases = (Object.keys(ops) as OpName[]).flatMap((name) => {
  const own: readonly OpCase[] = elementwiseNames.has(name)
    ? [elementwiseCase(name)]
    : ((cases as Partial<Record<OpName, OpCase[]>>)[name] ?? []);
  return own.map((one) => ({ name, one, def: ops[name] as OpDef<OpName> }));
});

/** Numbers near 1, row ids below 4, and booleans. Floats are multiples of 1/8, so that sums of them are exact in any order. */
export function draw(types: readonly TensorType[], seed: number): Tensor[] {
  const random = seededRandom(seed);
  const number = { f32: () => (4 + random.integer(9)) / 8, bf16: () => 1, i32: () => random.integer(4), pred: () => random.integer(2) };
  return types.map(({ dtype, dims }) => tensor(dtype, dims, Float64Array.from({ length: sizeOf(dims) }, number[dtype])));
}
