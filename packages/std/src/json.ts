/** What `JSON.parse` can return: the only values that cross a process boundary or are stored in Redis. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** `T`, if every field of it is JSON; otherwise a type without values. */
export type JsonOf<T> = T extends JsonValue | undefined
  ? T
  : T extends symbol | bigint | ((...parameters: never[]) => unknown)
    ? never
    : { readonly [K in keyof T]: JsonOf<T[K]> };

/** The value as JSON: the compiler checks that its type is JSON. A field that is undefined is absent from the text. */
export const asJson = <T>(value: T & JsonOf<T>): JsonValue => value as JsonValue;

/** The same JSON text for equal values, independently of the order of keys. For fingerprints and comparisons. */
export function canonicalJson(value: JsonValue): string {
  if (isJsonArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
}

function isJsonArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/**
 * JSON text of a value with numbers that may be infinite or NaN. JSON cannot represent these numbers, and `JSON.stringify` writes `null`.
 * This function writes the strings `"Infinity"`, `"-Infinity"` and `"NaN"`. `floatOf` reads them.
 */
export function jsonText(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, undefined, indent) ?? "null";
  // `JSON.stringify` writes numbers that are not finite as null. Without a null, the slower path is not needed.
  return text.includes("null") ? (JSON.stringify(value, nameNotFinite, indent) ?? "null") : text;
}

const nameNotFinite = (_: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? String(value) : value;

/** The number that `jsonText` wrote. Earlier versions wrote `null` for all three, so `null` is NaN. Undefined for anything else. */
export function floatOf(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  if (value === null) return Number.NaN;
  return value === "Infinity" || value === "-Infinity" || value === "NaN" ? Number(value) : undefined;
}

/** The value of a JSON text; undefined if the text is not JSON. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
