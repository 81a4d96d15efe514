import { parseAttribute, parseSymbol } from "./attributes.js";
import type { Cursor } from "./cursor.js";
import {
  i64Array,
  i64Number,
  optionalDictionary,
  parseInteger,
  parseIntegers,
  parseOperands,
  parseTail,
  parseTypeList,
  type ShortForm,
  type Spread,
  spread,
  takeKey,
} from "./short-form.js";
import { convolution, dotGeneral, reduce, whileLoop } from "./short-forms-compute.js";
import { constraint, func, manualComputation, mesh, module } from "./short-forms-structure.js";
import type { Attribute, Type } from "./syntax.js";

/** Operations that are written `op %a, %b {attributes} : types`. */
const plain: readonly string[] = (
  "abs add and atan2 bitcast_convert cbrt ceil clamp complex convert cosine count_leading_zeros divide exponential " +
  "exponential_minus_one floor imag is_finite log log_plus_one logistic maximum minimum multiply negate not or popcnt power real " +
  "remainder reshape round_nearest_afz round_nearest_even rsqrt shift_left shift_right_arithmetic shift_right_logical sign sine " +
  "sqrt subtract tan tanh xor"
).split(" ");

const withSpread =
  (how: Spread, name?: string): ShortForm =>
  (cursor, context) => {
    const { operands, comma } = parseOperands(cursor);
    if (comma) throw cursor.unexpected("a value such as %0");
    return parseTail(cursor, name ?? context.name, operands, [], how);
  };

type KeyReader = (cursor: Cursor) => readonly (readonly [string, Attribute])[];

const arrayAs =
  (name: string): KeyReader =>
  (cursor) => [[name, i64Array(parseIntegers(cursor))]];
const numberAs =
  (name: string): KeyReader =>
  (cursor) => [[name, i64Number(parseInteger(cursor))]];
const enumAs =
  (name: string, kind: string): KeyReader =>
  (cursor) => [[name, { kind: "dialect", name: kind, body: cursor.expectKind("word", "a name").text }]];

/** `op %a, key = value, … : types`. */
const keyed =
  (keys: Readonly<Record<string, KeyReader>>, how: Spread): ShortForm =>
  (cursor, { name }) => {
    const { operands, comma } = parseOperands(cursor);
    const own: (readonly [string, Attribute])[] = [];
    if (comma || (operands.length === 0 && cursor.token.kind === "word"))
      do own.push(...(keys[takeKey(cursor, Object.keys(keys))]?.(cursor) ?? []));
      while (cursor.accept(","));
    return parseTail(cursor, name, operands, own, how);
  };

/** `slice %a [0:3, 2:8:2] : types`. */
const slice: ShortForm = (cursor, { name }) => {
  const { operands } = parseOperands(cursor);
  cursor.expect("[");
  const ranges = cursor.list("]", () => {
    const start = parseInteger(cursor);
    cursor.expect(":");
    const limit = parseInteger(cursor);
    return { start, limit, stride: cursor.accept(":") ? parseInteger(cursor) : "1" };
  });
  const own: [string, Attribute][] = [
    ["start_indices", i64Array(ranges.map((r) => r.start))],
    ["limit_indices", i64Array(ranges.map((r) => r.limit))],
    ["strides", i64Array(ranges.map((r) => r.stride))],
  ];
  return parseTail(cursor, name, operands, own, "same");
};

/** `compare GT, %a, %b, FLOAT : types`. */
const compare: ShortForm = (cursor, { name }) => {
  const direction = cursor.expectKind("word", "a direction such as LT").text;
  cursor.expect(",");
  const { operands, comma } = parseOperands(cursor);
  const own: [string, Attribute][] = [
    ["comparison_direction", { kind: "dialect", name: "stablehlo.comparison_direction", body: direction }],
  ];
  if (comma)
    own.push([
      "compare_type",
      { kind: "dialect", name: "stablehlo.comparison_type", body: cursor.expectKind("word", "a type such as FLOAT").text },
    ]);
  return parseTail(cursor, name, operands, own, "same");
};

/** `constant {attributes} dense<…> : type`. */
const constant: ShortForm = (cursor, { name }) => {
  const attributes = new Map(optionalDictionary(cursor));
  const { token } = cursor;
  const value = parseAttribute(cursor);
  if (value.kind !== "dense") throw cursor.error("a constant needs a value such as dense<0> : tensor<i32>", token);
  attributes.set("value", value);
  return { name, operands: [], successors: [], attributes, regions: [], operandTypes: [], resultTypes: [value.type] };
};

/** `call @f(%a) {attributes} : types`, and `custom_call @target(%a) …`. */
const call =
  (name: string, attribute: (symbol: string) => readonly [string, Attribute]): ShortForm =>
  (cursor) => {
    const symbol = parseSymbol(cursor);
    cursor.expect("(");
    const { operands } = parseOperands(cursor);
    cursor.expect(")");
    return parseTail(cursor, name, operands, [attribute(symbol)], "same");
  };

/** `composite "name" %a, %b {attributes} : types`. */
const composite: ShortForm = (cursor, { name }) => {
  const { text } = cursor.expectKind("string", "the name of the composite");
  return parseTail(cursor, name, parseOperands(cursor).operands, [["name", { kind: "string", value: text }]], "same");
};

/** `reduce_precision %a, format = e8m7 : type`. */
const precisionFormat: KeyReader = (cursor) => {
  const { token } = cursor;
  const match = /^e(\d+)m(\d+)$/.exec(cursor.expectKind("word", "a format such as e8m7").text);
  if (match === null) throw cursor.error("expected a format such as e8m7", token);
  const i32: Type = { kind: "other", text: "i32" };
  return [
    ["exponent_bits", { kind: "number", text: match[1] ?? "", type: i32 }],
    ["mantissa_bits", { kind: "number", text: match[2] ?? "", type: i32 }],
  ];
};

/** `top_k(%a, k = 4) : types`. */
const topK: ShortForm = (cursor, { name }) => {
  cursor.expect("(");
  const { operands } = parseOperands(cursor);
  const own: [string, Attribute][] = [];
  do {
    const { text } = cursor.expectKind("word", "a key such as k");
    cursor.expect("=");
    own.push([text, text === "k" ? i64Number(parseInteger(cursor)) : parseAttribute(cursor)]);
  } while (cursor.accept(","));
  cursor.expect(")");
  return parseTail(cursor, name, operands, own, "same");
};

/** `get_tuple_element %a[0] : types`. */
const getTupleElement: ShortForm = (cursor, { name }) => {
  const { operands } = parseOperands(cursor);
  const [index = ""] = parseIntegers(cursor);
  return parseTail(cursor, name, operands, [["index", { kind: "number", text: index, type: { kind: "other", text: "i32" } }]], "same");
};

/** `partition_id : type`. */
const noOperands: ShortForm = (cursor, { name }) => parseTail(cursor, name, [], [], "result");

/** `tuple %a, %b : type`, whose operand types are those of the tuple. */
const tuple: ShortForm = (cursor, { name }) => {
  const { operands } = parseOperands(cursor);
  const attributes = optionalDictionary(cursor);
  cursor.expect(":");
  const types = parseTypeList(cursor);
  const [first] = types.types;
  return {
    name,
    operands,
    successors: [],
    attributes,
    regions: [],
    ...(first?.kind === "tuple" ? { operandTypes: first.items, resultTypes: [first] } : spread(types, "same", operands.length)),
  };
};

const stablehlo: Readonly<Record<string, ShortForm>> = {
  ...Object.fromEntries(plain.map((op) => [op, withSpread("same")])),
  broadcast_in_dim: keyed({ dims: arrayAs("broadcast_dimensions") }, "same"),
  compare,
  composite,
  concatenate: keyed({ dim: numberAs("dimension") }, "same"),
  constant,
  convolution,
  custom_call: call("stablehlo.custom_call", (value) => ["call_target_name", { kind: "string", value }]),
  cholesky: keyed({ lower: (cursor) => [["lower", parseAttribute(cursor)]] }, "same"),
  dot_general: dotGeneral,
  dynamic_slice: keyed({ sizes: arrayAs("slice_sizes") }, "same"),
  dynamic_update_slice: withSpread("same"),
  fft: keyed({ type: enumAs("fft_type", "stablehlo.fft_type"), length: arrayAs("fft_length") }, "same"),
  get_tuple_element: getTupleElement,
  iota: keyed({ dim: numberAs("iota_dimension") }, "result"),
  optimization_barrier: withSpread("each"),
  pad: keyed({ low: arrayAs("edge_padding_low"), high: arrayAs("edge_padding_high"), interior: arrayAs("interior_padding") }, "same"),
  partition_id: noOperands,
  reduce,
  reduce_precision: keyed({ format: precisionFormat }, "same"),
  replica_id: noOperands,
  return: withSpread("none"),
  reverse: keyed({ dims: arrayAs("dimensions") }, "same"),
  rng: keyed({ distribution: enumAs("rng_distribution", "stablehlo.rng_distribution") }, "same"),
  rng_bit_generator: keyed({ algorithm: enumAs("rng_algorithm", "stablehlo.rng_algorithm") }, "same"),
  select: withSpread("select"),
  slice,
  transpose: keyed({ dims: arrayAs("permutation") }, "same"),
  tuple,
  while: whileLoop,
};

const others: Readonly<Record<string, ShortForm>> = {
  module,
  "builtin.module": module,
  "func.func": func,
  call: call("func.call", (name) => ["callee", { kind: "symbol", name }]),
  "func.call": call("func.call", (name) => ["callee", { kind: "symbol", name }]),
  return: withSpread("none", "func.return"),
  "func.return": withSpread("none"),
  "chlo.top_k": topK,
  "sdy.mesh": mesh,
  "sdy.sharding_constraint": constraint,
  "sdy.reshard": constraint,
  "sdy.manual_computation": manualComputation,
  "sdy.return": withSpread("none"),
};

/** The reader of a short form; undefined if the form of the operation is unknown. */
export function shortFormOf(name: string): ShortForm | undefined {
  if (Object.hasOwn(others, name)) return others[name];
  if (name.startsWith("chlo.")) return withSpread("same");
  const op = name.startsWith("stablehlo.") ? name.slice("stablehlo.".length) : "";
  return Object.hasOwn(stablehlo, op) ? stablehlo[op] : undefined;
}
