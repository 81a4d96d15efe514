import type { Cursor } from "./cursor.js";
import type { Attribute, Attributes } from "./syntax.js";
import { parseType } from "./types.js";

/** Reads one attribute. */
export function parseAttribute(cursor: Cursor): Attribute {
  return cursor.nested(() => {
    const { token } = cursor;
    switch (token.kind) {
      case "string":
        cursor.take();
        return { kind: "string", value: token.text };
      case "integer":
      case "float":
        return parseNumber(cursor);
      case "symbol":
        return { kind: "symbol", name: parseSymbol(cursor) };
      case "hash":
        return parseDialectAttribute(cursor);
      case "exclamation":
        return { kind: "type", type: parseType(cursor) };
      case "word":
        return parseWord(cursor);
      default:
        return parsePunctuation(cursor);
    }
  });
}

/** `@name`, or `@outer::@inner`. */
export function parseSymbol(cursor: Cursor): string {
  let name = cursor.expectKind("symbol", "a symbol such as @main").text;
  while (cursor.accept("::")) name += `::@${cursor.expectKind("symbol", "a symbol").text}`;
  return name;
}

/** `{a = 1 : i32, b}`. */
export function parseDictionary(cursor: Cursor): Attributes {
  cursor.expect("{");
  return parseEntries(cursor, "}");
}

/** The entries of a dictionary up to its closing bracket. */
export function parseEntries(cursor: Cursor, close: string): Attributes {
  const entries = new Map<string, Attribute>();
  for (const [key, value] of cursor.list(close, () => parseEntry(cursor))) entries.set(key, value);
  return entries;
}

function parseEntry(cursor: Cursor): [string, Attribute] {
  const { token } = cursor;
  if (token.kind !== "word" && token.kind !== "string") throw cursor.unexpected("the name of an attribute");
  cursor.take();
  return [token.text, cursor.accept("=") ? parseAttribute(cursor) : { kind: "unit" }];
}

/** A number with its optional sign and type. */
function parseNumber(cursor: Cursor): Attribute {
  const sign = cursor.accept("-") ? "-" : "";
  const { token } = cursor;
  if (token.kind !== "integer" && token.kind !== "float") throw cursor.unexpected("a number");
  cursor.take();
  const text = sign + token.text;
  return cursor.accept(":") ? { kind: "number", text, type: parseType(cursor) } : { kind: "number", text };
}

/** `#alias`, `#dialect.name<body>` or `#dialect<name body>`. */
function parseDialectAttribute(cursor: Cursor): Attribute {
  const { text } = cursor.take();
  if (!cursor.is("<")) return text.includes(".") ? { kind: "dialect", name: text, body: "" } : { kind: "alias", name: text };
  const body = cursor.takeBalanced("<", ">");
  if (text.includes(".")) return { kind: "dialect", name: text, body };
  const name = /^[\w.]+/.exec(body)?.[0] ?? "";
  const rest = body.slice(name.length).trim();
  // `#dialect<name<body>>` means `#dialect.name<body>`.
  return { kind: "dialect", name: `${text}.${name}`, body: rest.startsWith("<") && rest.endsWith(">") ? rest.slice(1, -1).trim() : rest };
}

function parseWord(cursor: Cursor): Attribute {
  const { token } = cursor;
  switch (token.text) {
    case "true":
    case "false":
      cursor.take();
      return { kind: "bool", value: token.text === "true" };
    case "unit":
      cursor.take();
      return { kind: "unit" };
    case "dense": {
      cursor.take();
      const body = cursor.takeBalanced("<", ">");
      cursor.expect(":");
      return { kind: "dense", body, type: parseType(cursor) };
    }
    case "array":
      cursor.take();
      return denseArrayOf(cursor.takeBalanced("<", ">"));
    case "loc":
    case "affine_map":
    case "affine_set":
    case "dense_resource":
    case "opaque":
    case "sparse":
    case "strided":
    case "distinct": {
      cursor.take();
      if (token.text === "loc") return { kind: "raw", text: `loc(${cursor.takeBalanced("(", ")")})` };
      const body = cursor.takeBalanced("<", ">");
      return cursor.accept(":")
        ? { kind: "raw", text: `${token.text}<${body}> : ${cursor.token.text}${takeTypeText(cursor)}` }
        : { kind: "raw", text: `${token.text}<${body}>` };
    }
    case "inf":
    case "nan":
      cursor.take();
      return cursor.accept(":") ? { kind: "number", text: token.text, type: parseType(cursor) } : { kind: "number", text: token.text };
    default:
      return { kind: "type", type: parseType(cursor) };
  }
}

/** The rest of a type whose first token is `cursor.token`. */
function takeTypeText(cursor: Cursor): string {
  cursor.take();
  return cursor.is("<") ? `<${cursor.takeBalanced("<", ">")}>` : "";
}

function denseArrayOf(body: string): Attribute {
  const colon = body.indexOf(":");
  if (colon < 0) return { kind: "denseArray", element: body, items: [] };
  const items = body.slice(colon + 1).trim();
  return {
    kind: "denseArray",
    element: body.slice(0, colon).trim(),
    items: items === "" ? [] : items.split(",").map((item) => item.trim()),
  };
}

function parsePunctuation(cursor: Cursor): Attribute {
  if (cursor.is("-")) return parseNumber(cursor);
  if (cursor.is("{")) return { kind: "dictionary", entries: parseDictionary(cursor) };
  if (cursor.is("(")) return { kind: "type", type: parseType(cursor) };
  if (cursor.accept("[")) return { kind: "array", items: cursor.list("]", () => parseAttribute(cursor)) };
  throw cursor.unexpected("an attribute");
}
