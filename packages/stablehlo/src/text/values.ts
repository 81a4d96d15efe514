import type { Cursor } from "./cursor.js";
import { parseOptionalLocation } from "./locations.js";
import type { BlockArgument, ValueUse } from "./syntax.js";
import { parseType } from "./types.js";

/** `%name` or `%name#1`. */
export function parseUse(cursor: Cursor): ValueUse {
  const { text } = cursor.expectKind("value", "a value such as %0");
  if (cursor.token.kind !== "hash") return { name: text, index: 0 };
  const { token } = cursor;
  const index = Number(token.text);
  if (!Number.isSafeInteger(index)) throw cursor.unexpected("the number of a result, such as #1");
  cursor.take();
  return { name: text, index };
}

/** `%a: type loc(…)`. */
export function parseArgument(cursor: Cursor): BlockArgument {
  const { text } = cursor.expectKind("value", "the name of an argument");
  cursor.expect(":");
  const type = parseType(cursor);
  const location = parseOptionalLocation(cursor);
  return { name: text, type, ...(location === undefined ? {} : { location }) };
}
