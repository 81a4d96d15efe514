import type { Cursor } from "./cursor.js";
import type { TensorTypeSyntax, Type } from "./syntax.js";

/** Reads one type: `tensor<4x8xf32>`, `(i32) -> i32`, `!stablehlo.token`, `i32`. */
export function parseType(cursor: Cursor): Type {
  return cursor.nested(() => {
    const { token } = cursor;
    if (token.kind === "punctuation" && token.text === "(") return parseFunctionType(cursor);
    if (token.kind === "exclamation") {
      cursor.take();
      return { kind: "other", text: `!${token.text}${cursor.is("<") ? `<${cursor.takeBalanced("<", ">")}>` : ""}` };
    }
    if (token.kind !== "word") throw cursor.unexpected("a type");
    cursor.take();
    if (token.text === "tuple") {
      cursor.expect("<");
      return { kind: "tuple", items: cursor.list(">", () => parseType(cursor)) };
    }
    if (!cursor.is("<")) return { kind: "other", text: token.text };
    if (token.text !== "tensor") return { kind: "other", text: `${token.text}<${cursor.takeBalanced("<", ">")}>` };
    const body = cursor.takeBalanced("<", ">");
    const type = tensorOf(body);
    if (type === undefined) throw cursor.error(`"tensor<${body.slice(0, 60)}>" is not a tensor type`, token);
    return type;
  });
}

/** `(A, B) -> C` or `(A, B) -> (C, D)`. */
export function parseFunctionType(cursor: Cursor): { kind: "function"; inputs: Type[]; results: Type[] } {
  cursor.expect("(");
  const inputs = cursor.list(")", () => parseType(cursor));
  cursor.expect("->");
  return { kind: "function", inputs, results: parseTypeOrList(cursor) };
}

/** `A`, or `(A, B)`. */
export function parseTypeOrList(cursor: Cursor): Type[] {
  return cursor.accept("(") ? cursor.list(")", () => parseType(cursor)) : [parseType(cursor)];
}

const dims = /^(?:(?:\d+|\?)x)*/;
const element = /^(?:[a-zA-Z]\w*(?:<[^<>]*>)?|![\w.]+(?:<.*>)?)$/s;

/** The parts of `4x?xf32, encoding`. A dim must be a number that JavaScript represents exactly. */
function tensorOf(body: string): TensorTypeSyntax | undefined {
  const shape = dims.exec(body)?.[0] ?? "";
  const rest = body.slice(shape.length);
  const comma = rest.startsWith("!") || rest.startsWith("complex") ? -1 : rest.indexOf(",");
  const name = comma < 0 ? rest : rest.slice(0, comma);
  if (!element.test(name)) return undefined;
  const sizes =
    shape === ""
      ? []
      : shape
          .slice(0, -1)
          .split("x")
          .map((d) => (d === "?" ? null : Number(d)));
  if (sizes.some((d) => d !== null && !Number.isSafeInteger(d))) return undefined;
  return { kind: "tensor", dims: sizes, element: name, ...(comma < 0 ? {} : { encoding: rest.slice(comma + 1).trim() }) };
}
