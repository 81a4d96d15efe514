import { parseDictionary, parseSymbol } from "./attributes.js";
import type { Cursor } from "./cursor.js";
import { parseOptionalLocation } from "./locations.js";
import { optionalDictionary, parseOperands, parseTail, parseTypeList, type ShortForm, spread } from "./short-form.js";
import type { Attribute, Attributes, BlockArgument, Type } from "./syntax.js";
import { parseType } from "./types.js";
import { parseArgument } from "./values.js";

const text = (value: string): Attribute => ({ kind: "string", value });

/** `module @name attributes {…} { … }`. */
export const module: ShortForm = (cursor, { region }) => {
  const attributes = new Map<string, Attribute>();
  if (cursor.token.kind === "symbol") attributes.set("sym_name", text(parseSymbol(cursor)));
  if (cursor.acceptWord("attributes")) for (const [key, value] of parseDictionary(cursor)) attributes.set(key, value);
  const body = region(cursor, []);
  return { name: "builtin.module", operands: [], successors: [], attributes, regions: [body], operandTypes: [], resultTypes: [] };
};

/** `func.func private @name(%a: type {…}, …) -> (type {…}) attributes {…} { … }`. */
export const func: ShortForm = (cursor, { name, region }) => {
  const attributes = new Map<string, Attribute>();
  const { token } = cursor;
  if (token.kind === "word" && ["public", "private", "nested"].includes(token.text))
    attributes.set("sym_visibility", text(cursor.take().text));
  attributes.set("sym_name", text(parseSymbol(cursor)));
  cursor.expect("(");
  const args = cursor.list(")", () => parseParameter(cursor));
  const results = cursor.accept("->") ? parseResults(cursor) : [];
  if (cursor.acceptWord("attributes")) for (const [key, value] of parseDictionary(cursor)) attributes.set(key, value);
  const inputs = args.map(({ argument }) => argument.type);
  attributes.set("function_type", { kind: "type", type: { kind: "function", inputs, results: results.map(({ type }) => type) } });
  setIfAny(attributes, "arg_attrs", args);
  setIfAny(attributes, "res_attrs", results);
  const body = cursor.is("{")
    ? region(
        cursor,
        args.map(({ argument }) => argument),
      )
    : { blocks: [] };
  return { name, operands: [], successors: [], attributes, regions: [body], operandTypes: [], resultTypes: [] };
};

function setIfAny(attributes: Map<string, Attribute>, key: string, of: readonly { readonly attributes: Attributes }[]): void {
  if (of.every((one) => one.attributes.size === 0)) return;
  attributes.set(key, { kind: "array", items: of.map((one) => ({ kind: "dictionary", entries: one.attributes })) });
}

/** `%a: type {…} loc(…)`, or `type {…}` of a function without a body. */
function parseParameter(cursor: Cursor): { argument: BlockArgument; attributes: Attributes } {
  if (cursor.token.kind !== "value") {
    const type = parseType(cursor);
    return { argument: { name: "", type }, attributes: optionalDictionary(cursor) };
  }
  const name = cursor.take().text;
  cursor.expect(":");
  const type = parseType(cursor);
  const attributes = optionalDictionary(cursor);
  const location = parseOptionalLocation(cursor);
  return { argument: { name, type, ...(location === undefined ? {} : { location }) }, attributes };
}

/** `type`, or `(type {…}, …)`. */
function parseResults(cursor: Cursor): { type: Type; attributes: Attributes }[] {
  if (!cursor.accept("(")) return [{ type: parseType(cursor), attributes: new Map() }];
  return cursor.list(")", () => ({ type: parseType(cursor), attributes: optionalDictionary(cursor) }));
}

/** `sdy.mesh @mesh = <["data"=4]> {…}`. */
export const mesh: ShortForm = (cursor, { name }) => {
  const symbol = parseSymbol(cursor);
  cursor.expect("=");
  const body = cursor.takeBalanced("<", ">");
  const attributes = new Map<string, Attribute>([
    ["sym_name", text(symbol)],
    ["mesh", { kind: "dialect", name: "sdy.mesh", body }],
    ...optionalDictionary(cursor),
  ]);
  return { name, operands: [], successors: [], attributes, regions: [], operandTypes: [], resultTypes: [] };
};

/** `sdy.sharding_constraint %a <@mesh, […]> : type`. */
export const constraint: ShortForm = (cursor, { name }) => {
  const { operands } = parseOperands(cursor);
  const body = cursor.takeBalanced("<", ">");
  return parseTail(cursor, name, operands, [["sharding", { kind: "dialect", name: "sdy.sharding", body }]], "same");
};

/** `sdy.manual_computation(%a) in_shardings=[…] out_shardings=[…] manual_axes={…} (%x: type) { … } : types`. */
export const manualComputation: ShortForm = (cursor, { name, region }) => {
  cursor.expect("(");
  const { operands } = parseOperands(cursor);
  cursor.expect(")");
  const perValue = (key: string): Attribute => {
    cursor.expectWord(key);
    cursor.expect("=");
    return { kind: "dialect", name: "sdy.sharding_per_value", body: `[${cursor.takeBalanced("[", "]")}]` };
  };
  const [inShardings, outShardings] = [perValue("in_shardings"), perValue("out_shardings")];
  cursor.expectWord("manual_axes");
  cursor.expect("=");
  const axes: Attribute = { kind: "dialect", name: "sdy.manual_axes", body: `{${cursor.takeBalanced("{", "}")}}` };
  cursor.expect("(");
  const args = cursor.list(")", () => parseArgument(cursor));
  const body = region(cursor, args);
  const attributes = new Map<string, Attribute>([
    ["in_shardings", inShardings],
    ["out_shardings", outShardings],
    ["manual_axes", axes],
    ...optionalDictionary(cursor),
  ]);
  cursor.expect(":");
  return { name, operands, successors: [], attributes, regions: [body], ...spread(parseTypeList(cursor), "same", operands.length) };
};
