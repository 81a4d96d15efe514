import { parseAttribute } from "./attributes.js";
import type { Cursor } from "./cursor.js";
import type { Location } from "./syntax.js";

/** `loc(…)` after an operation or an argument, or nothing. */
export function parseOptionalLocation(cursor: Cursor): Location | undefined {
  if (!cursor.acceptWord("loc")) return undefined;
  cursor.expect("(");
  const location = parseLocation(cursor);
  cursor.expect(")");
  return location;
}

/** The content of `loc(…)`. */
export function parseLocation(cursor: Cursor): Location {
  return cursor.nested(() => {
    const { token } = cursor;
    if (token.kind === "hash") {
      cursor.take();
      return { kind: "alias", name: token.text };
    }
    if (token.kind === "string") return parseNamed(cursor);
    if (cursor.acceptWord("unknown")) return { kind: "unknown" };
    if (cursor.acceptWord("callsite")) return parseCallsite(cursor);
    if (cursor.acceptWord("fused")) return parseFused(cursor);
    if (cursor.acceptWord("loc")) {
      cursor.expect("(");
      const inner = parseLocation(cursor);
      cursor.expect(")");
      return inner;
    }
    throw cursor.unexpected("a location");
  });
}

/** `"file":3:7`, `"file":3:7 to :9`, `"name"` or `"name"(child)`. */
function parseNamed(cursor: Cursor): Location {
  const { text } = cursor.take();
  if (cursor.accept(":")) {
    const line = wholeNumber(cursor);
    cursor.expect(":");
    const column = wholeNumber(cursor);
    if (!cursor.acceptWord("to")) return { kind: "file", file: text, line, column };
    let end = "";
    for (;;) {
      if (cursor.token.kind === "integer") end += cursor.take().text;
      if (!cursor.accept(":")) return { kind: "file", file: text, line, column, end };
      end += ":";
    }
  }
  if (!cursor.accept("(")) return { kind: "name", name: text };
  const child = parseLocation(cursor);
  cursor.expect(")");
  return { kind: "name", name: text, child };
}

function parseCallsite(cursor: Cursor): Location {
  cursor.expect("(");
  const callee = parseLocation(cursor);
  cursor.expectWord("at");
  const caller = parseLocation(cursor);
  cursor.expect(")");
  return { kind: "callsite", callee, caller };
}

function parseFused(cursor: Cursor): Location {
  const metadata = cursor.accept("<") ? parseAttribute(cursor) : undefined;
  if (metadata !== undefined) cursor.expect(">");
  cursor.expect("[");
  const locations = cursor.list("]", () => parseLocation(cursor));
  return { kind: "fused", ...(metadata === undefined ? {} : { metadata }), locations };
}

function wholeNumber(cursor: Cursor): number {
  const { token } = cursor;
  cursor.expectKind("integer", "a line or column number");
  const value = Number(token.text);
  if (!Number.isSafeInteger(value)) throw cursor.error("the number of a line or column is too large", token);
  return value;
}
