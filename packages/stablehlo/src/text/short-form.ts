import { parseDictionary } from "./attributes.js";
import type { Cursor } from "./cursor.js";
import type { Attribute, Attributes, BlockArgument, Operation, Region, Type, ValueUse } from "./syntax.js";
import { parseType, parseTypeOrList } from "./types.js";
import { parseUse } from "./values.js";

/** An operation without the names of its results and its position. */
export type ShortOperation = Omit<Operation, "results" | "location" | "line" | "column">;

interface ShortContext {
  /** The name of the operation as the text writes it. */
  readonly name: string;
  readonly region: (cursor: Cursor, entry?: readonly BlockArgument[]) => Region;
}

/** Reads an operation in its short form, from the token after its name. */
export type ShortForm = (cursor: Cursor, context: ShortContext) => ShortOperation;

/**
 * The types after the colon of a short form: `T` or `T, U` for values of the operation, or `(T, U) -> V`. `results` is absent
 * if the text has no arrow.
 */
export interface TypeList {
  readonly types: readonly Type[];
  readonly results?: readonly Type[];
}

export function parseTypeList(cursor: Cursor): TypeList {
  const types = cursor.is("(") ? parseTypeOrList(cursor) : [parseType(cursor)];
  while (cursor.accept(",")) types.push(parseType(cursor));
  return cursor.accept("->") ? { types, results: parseTypeOrList(cursor) } : { types };
}

/** How a list of types without an arrow applies to operands and results. */
export type Spread = "same" | "each" | "result" | "select" | "none";

/** The types of operands and results. */
export function spread({ types, results }: TypeList, how: Spread, operands: number): Pick<Operation, "operandTypes" | "resultTypes"> {
  if (results !== undefined) return { operandTypes: types, resultTypes: results };
  const [first, second] = types;
  switch (how) {
    case "same":
      return {
        operandTypes: types.length === 1 && first !== undefined ? Array<Type>(operands).fill(first) : types,
        resultTypes: types.slice(-1),
      };
    case "each":
      return { operandTypes: types, resultTypes: types };
    case "none":
      return { operandTypes: types, resultTypes: [] };
    case "result":
      return { operandTypes: [], resultTypes: types };
    case "select":
      return first === undefined || second === undefined
        ? { operandTypes: types, resultTypes: types }
        : { operandTypes: [first, second, second], resultTypes: [second] };
  }
}

/** `%a, %b`, and whether a comma follows. */
export function parseOperands(cursor: Cursor): { operands: ValueUse[]; comma: boolean } {
  const operands: ValueUse[] = [];
  while (cursor.token.kind === "value") {
    operands.push(parseUse(cursor));
    if (!cursor.accept(",")) return { operands, comma: false };
  }
  return { operands, comma: operands.length > 0 };
}

export const optionalDictionary = (cursor: Cursor): Attributes => (cursor.is("{") ? parseDictionary(cursor) : new Map());

/** The end of most short forms: `{attributes} : types`. */
export function parseTail(
  cursor: Cursor,
  name: string,
  operands: readonly ValueUse[],
  own: readonly (readonly [string, Attribute])[],
  how: Spread,
): ShortOperation {
  const attributes = new Map<string, Attribute>([...own, ...optionalDictionary(cursor)]);
  const types = how === "none" && operands.length === 0 ? { types: [] } : afterColon(cursor);
  return { name, operands, successors: [], attributes, regions: [], ...spread(types, how, operands.length) };
}

function afterColon(cursor: Cursor): TypeList {
  cursor.expect(":");
  return parseTypeList(cursor);
}

export const i64: Type = { kind: "other", text: "i64" };
export const i64Array = (items: readonly string[]): Attribute => ({ kind: "denseArray", element: "i64", items });
export const i64Number = (text: string): Attribute => ({ kind: "number", text, type: i64 });

/** `[1, 2]` of whole numbers, with signs. */
export function parseIntegers(cursor: Cursor): string[] {
  cursor.expect("[");
  return cursor.list("]", () => parseInteger(cursor));
}

export function parseInteger(cursor: Cursor): string {
  const sign = cursor.accept("-") ? "-" : "";
  return sign + cursor.expectKind("integer", "a whole number").text;
}

/** `key = ` of a known key. */
export function takeKey(cursor: Cursor, keys: readonly string[]): string {
  const { token } = cursor;
  if (token.kind !== "word" || !keys.includes(token.text)) throw cursor.unexpected(keys.map((key) => `"${key}"`).join(" or "));
  cursor.take();
  cursor.expect("=");
  return token.text;
}
