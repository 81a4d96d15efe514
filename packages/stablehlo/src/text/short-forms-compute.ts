import { parseDictionary } from "./attributes.js";
import type { Cursor } from "./cursor.js";
import {
  i64,
  optionalDictionary,
  parseIntegers,
  parseOperands,
  parseTail,
  parseTypeList,
  type ShortForm,
  spread,
  takeKey,
} from "./short-form.js";
import type { Attribute, BlockArgument, Operation, Region, Type, ValueUse } from "./syntax.js";
import { parseArgument, parseUse } from "./values.js";

const enumValue = (name: string, body: string): Attribute => ({ kind: "dialect", name, body });

/** `dot_general %a, %b, batching_dims = [0] x [0], contracting_dims = [2] x [1], precision = [DEFAULT, DEFAULT] : types`. */
export const dotGeneral: ShortForm = (cursor, { name }) => {
  const { operands, comma } = parseOperands(cursor);
  const lists = new Map<string, readonly [string[], string[]]>();
  const own: [string, Attribute][] = [];
  if (comma)
    do {
      const key = takeKey(cursor, ["batching_dims", "contracting_dims", "precision", "algorithm"]);
      if (key === "precision") own.push(["precision_config", parsePrecisions(cursor)]);
      else if (key === "algorithm")
        own.push(["algorithm", { kind: "dialect", name: "stablehlo.dot_algorithm", body: cursor.takeBalanced("<", ">") }]);
      else {
        const left = parseIntegers(cursor);
        cursor.expectWord("x");
        lists.set(key, [left, parseIntegers(cursor)]);
      }
    } while (cursor.accept(","));
  const [lhsBatch, rhsBatch] = lists.get("batching_dims") ?? [[], []];
  const [lhs, rhs] = lists.get("contracting_dims") ?? [[], []];
  const body = Object.entries({
    lhs_batching_dimensions: lhsBatch,
    rhs_batching_dimensions: rhsBatch,
    lhs_contracting_dimensions: lhs,
    rhs_contracting_dimensions: rhs,
  })
    .filter(([, dims]) => dims.length > 0)
    .map(([key, dims]) => `${key} = [${dims.join(", ")}]`)
    .join(", ");
  return parseTail(cursor, name, operands, [["dot_dimension_numbers", enumValue("stablehlo.dot", body)], ...own], "same");
};

function parsePrecisions(cursor: Cursor): Attribute {
  cursor.expect("[");
  return {
    kind: "array",
    items: cursor.list("]", () => enumValue("stablehlo.precision", cursor.expectKind("word", "a precision such as DEFAULT").text)),
  };
}

/** `convolution(%a, %b) dim_numbers = [b, 0, f]x[0, i, o]->[b, 0, f], window = {stride = [1], pad = [[1, 1]], …} {…} : types`. */
export const convolution: ShortForm = (cursor, { name }) => {
  cursor.expect("(");
  const { operands } = parseOperands(cursor);
  cursor.expect(")");
  takeKey(cursor, ["dim_numbers"]);
  const lhs = cursor.takeBalanced("[", "]");
  cursor.expectWord("x");
  const rhs = cursor.takeBalanced("[", "]");
  cursor.expect("->");
  const own: [string, Attribute][] = [
    ["dimension_numbers", enumValue("stablehlo.conv", `[${lhs}]x[${rhs}]->[${cursor.takeBalanced("[", "]")}]`)],
  ];
  cursor.expect(",");
  takeKey(cursor, ["window"]);
  for (const [key, value] of parseDictionary(cursor)) {
    const items = value.kind === "array" ? value.items : [];
    if (key === "pad") own.push(["padding", paddingOf(items)]);
    else {
      const names = { stride: "window_strides", lhs_dilate: "lhs_dilation", rhs_dilate: "rhs_dilation", reverse: "window_reversal" };
      const full = Object.entries(names).find(([short]) => short === key)?.[1];
      if (full === undefined) throw cursor.error(`unknown key "${key}" of a window`);
      own.push([full, { kind: "denseArray", element: key === "reverse" ? "i1" : "i64", items: items.map(scalarText) }]);
    }
  }
  return parseTail(cursor, name, operands, own, "same");
};

const scalarText = (item: Attribute): string => (item.kind === "number" ? item.text : item.kind === "bool" ? String(item.value) : "");

/** `[[1, 1], [1, 1]]` as the dense attribute of the generic form, which writes equal numbers once. */
function paddingOf(items: readonly Attribute[]): Attribute {
  const rows = items.map((item) => (item.kind === "array" ? item.items.map(scalarText) : []));
  const all = rows.flat();
  const body = new Set(all).size === 1 ? (all[0] ?? "") : `[${rows.map((row) => `[${row.join(", ")}]`).join(", ")}]`;
  return { kind: "dense", body, type: { kind: "tensor", dims: [rows.length, 2], element: "i64" } };
}

/** `reduce(%a init: %b) applies stablehlo.add across dimensions = [0] : types`, or with a region after `reducer`. */
export const reduce: ShortForm = (cursor, { name, region }) => {
  const [inputs, inits]: [ValueUse[], ValueUse[]] = [[], []];
  do {
    cursor.expect("(");
    inputs.push(parseUse(cursor));
    cursor.expectWord("init");
    cursor.expect(":");
    inits.push(parseUse(cursor));
    cursor.expect(")");
  } while (cursor.accept(","));
  const applied = cursor.acceptWord("applies") ? cursor.expectKind("word", "an operation such as stablehlo.add") : undefined;
  cursor.expectWord("across");
  takeKey(cursor, ["dimensions"]);
  const dims = parseIntegers(cursor);
  const operands = [...inputs, ...inits];
  const tail = parseTail(cursor, name, operands, [["dimensions", { kind: "denseArray", element: "i64", items: dims }]], "same");
  if (applied !== undefined) return { ...tail, regions: [appliedRegion(applied.text, tail.operandTypes[inputs.length], applied)] };
  cursor.expectWord("reducer");
  const pairs = inputs.map(() => {
    cursor.expect("(");
    return cursor.list(")", () => parseArgument(cursor));
  });
  const args = [0, 1].flatMap((side) => pairs.flatMap((pair) => pair[side] ?? []));
  return { ...tail, regions: [region(cursor, args)] };
};

/** The region of `applies op`: `^bb0(%lhs, %rhs): %0 = op %lhs, %rhs; return %0`. */
function appliedRegion(op: string, type: Type | undefined, { line, column }: { line: number; column: number }): Region {
  const of: Type = type ?? { kind: "other", text: "none" };
  const common = { successors: [], attributes: new Map(), regions: [], line, column };
  const use = (name: string): ValueUse => ({ name, index: 0 });
  const operations: Operation[] = [
    {
      ...common,
      name: op,
      results: [{ name: "0", count: 1 }],
      operands: [use("lhs"), use("rhs")],
      operandTypes: [of, of],
      resultTypes: [of],
    },
    { ...common, name: "stablehlo.return", results: [], operands: [use("0")], operandTypes: [of], resultTypes: [] },
  ];
  const args: BlockArgument[] = ["lhs", "rhs"].map((name) => ({ name, type: of }));
  return { blocks: [{ arguments: args, operations }] };
}

/** `while(%x = %a, …) : types attributes {…} cond {…} do {…}`. */
export const whileLoop: ShortForm = (cursor, { name, region }) => {
  cursor.expect("(");
  const carried = cursor.list(")", () => {
    const argument = cursor.expectKind("value", "the name of a carried value").text;
    cursor.expect("=");
    return { argument, start: parseUse(cursor) };
  });
  const types = cursor.accept(":") ? parseTypeList(cursor) : { types: [] };
  const attributes = cursor.acceptWord("attributes") ? parseDictionary(cursor) : optionalAttributes(cursor);
  const { operandTypes, resultTypes } = spread(types, "each", carried.length);
  const args = carried.map(({ argument }, i): BlockArgument => ({ name: argument, type: operandTypes[i] ?? i64 }));
  cursor.expectWord("cond");
  const condition = region(cursor, args);
  cursor.expectWord("do");
  const operands = carried.map(({ start }) => start);
  return { name, operands, successors: [], attributes, regions: [condition, region(cursor, args)], operandTypes, resultTypes };
};

const optionalAttributes = optionalDictionary;
