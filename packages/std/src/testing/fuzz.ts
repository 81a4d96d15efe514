import fc from "fast-check";

/**
 * A reader of untrusted input. Its property draws hostile inputs and fails if the reader neither returns a value nor throws a `LapidaryError`.
 * Packages export their targets. Tests draw some hundreds of inputs from each; `npm run fuzz` draws the number in `--cases`.
 */
export interface FuzzTarget {
  readonly name: string;
  readonly property: fc.IRawProperty<unknown>;
}

/** A change of valid bytes or text. `at` is a fraction of the length. */
type Change =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "remove" | "repeat"; readonly at: number; readonly length: number }
  | { readonly kind: "insert"; readonly at: number; readonly what: string };

const at = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const length = fc.integer({ min: 1, max: 40 });
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant("flip" as const), at, bit: fc.nat(7) }),
  fc.record({ kind: fc.constant("cut" as const), at }),
  fc.record({ kind: fc.constantFrom("remove" as const, "repeat" as const), at, length }),
  fc.record({
    kind: fc.constant("insert" as const),
    at,
    what: fc.oneof(
      fc.string({ maxLength: 8, unit: "binary" }),
      fc.constantFrom(
        "\0",
        "\ud800",
        "{",
        "[",
        "[".repeat(200),
        '"',
        "__proto__",
        "&a *a",
        "!!js",
        "1e999",
        "-0",
        "9".repeat(40),
        "\r\n\r\n",
      ),
    ),
  }),
);
const changes = fc.array(change, { minLength: 1, maxLength: 3 });

/** Valid bytes with up to three changes: a flipped bit, a cut, or a piece that is removed, repeated or inserted. */
function changedBytes(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  return fc.tuple(valid, changes).map(([bytes, all]) => all.reduce(changeBytes, bytes));
}

function changedText(valid: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.tuple(valid, changes).map(([text, all]) => all.reduce(changeText, text));
}

/** Random bytes, and valid bytes with changes. */
export const hostileBytes = (valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> =>
  fc.oneof({ weight: 1, arbitrary: fc.uint8Array({ maxLength: 600 }) }, { weight: 3, arbitrary: changedBytes(valid) });

/** Any text, any JSON, and valid text with changes. */
export const hostileText = (valid: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 1, arbitrary: fc.string({ maxLength: 400, unit: "binary" }) },
    { weight: 1, arbitrary: fc.json({ maxDepth: 6 }) },
    { weight: 3, arbitrary: changedText(valid) },
  );

function changeBytes(bytes: Uint8Array, one: Change): Uint8Array {
  const from = Math.floor(one.at * bytes.length);
  switch (one.kind) {
    case "flip":
      return bytes.map((byte, i) => (i === from ? byte ^ (1 << one.bit) : byte));
    case "cut":
      return bytes.slice(0, from);
    case "remove":
      return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + one.length)]);
    case "repeat":
      return Buffer.concat([bytes.subarray(0, from + one.length), bytes.subarray(from)]);
    case "insert":
      return Buffer.concat([bytes.subarray(0, from), Buffer.from(one.what), bytes.subarray(from)]);
  }
}

function changeText(text: string, one: Change): string {
  const from = Math.floor(one.at * text.length);
  switch (one.kind) {
    case "flip":
      return text.slice(0, from) + String.fromCharCode(text.charCodeAt(from) ^ (1 << one.bit)) + text.slice(from + 1);
    case "cut":
      return text.slice(0, from);
    case "remove":
      return text.slice(0, from) + text.slice(from + one.length);
    case "repeat":
      return text.slice(0, from + one.length) + text.slice(from);
    case "insert":
      return text.slice(0, from) + one.what + text.slice(from);
  }
}
