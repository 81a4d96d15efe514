import { z } from "zod";
import { ByteLevelAlphabet } from "./byte-level.js";
import { type Builder, build, inside, keysOf, type Location } from "./component.js";
import { patternOf, patternSchema } from "./regex.js";
import { unchangedBy, marks } from "./unicode-tables.js";

/** Rewrites a text before it is split. */
export interface Normalizer {
  readonly normalize: (text: string) => string;
  /** Whether the first character of the result always comes from the first character of the text. `Metaspace` requires it. */
  readonly keepsStart: boolean;
}

/**
 * The `normalizer` of a `tokenizer.json`; null changes nothing.
 *
 * @throws LapidaryError `LAP_TOKENIZER_UNSUPPORTED`
 */
export function normalizerOf(json: unknown, at: Location): Normalizer {
  if (json === null || json === undefined) return { normalize: (text) => text, keepsStart: true };
  return build("normalizer", builders, json, at);
}

const form =
  (name: "NFC" | "NFD" | "NFKC" | "NFKD"): Builder<Normalizer> =>
  (json, at) => {
    keysOf(z.strictObject({ type: z.literal(name) }), json, at);
    const unchanged = unchangedBy(name);
    const normalize = (text: string): string =>
      unchanged.test(text)
        ? text
            .split(unchanged)
            .map((part, i) => (i % 2 === 0 ? part.normalize(name) : part))
            .join("")
        : text.normalize(name);
    return { normalize, keepsStart: true };
  };

/** `White_Space` of Unicode, as in Rust. `\s` of JavaScript also contains U+FEFF and lacks U+0085. */
const [spaceAtStart, spaceAtEnd, lastSpace] = [/^\p{White_Space}+/u, /\p{White_Space}+$/u, /\p{White_Space}$/u];

const builders: Readonly<Record<string, Builder<Normalizer>>> = {
  NFC: form("NFC"),
  NFD: form("NFD"),
  NFKC: form("NFKC"),
  NFKD: form("NFKD"),
  Lowercase: (json, at) => {
    keysOf(z.strictObject({ type: z.literal("Lowercase") }), json, at);
    return { normalize: lowercase, keepsStart: true };
  },
  Strip: (json, at) => {
    const { strip_left, strip_right } = keysOf(
      z.strictObject({ type: z.literal("Strip"), strip_left: z.boolean(), strip_right: z.boolean() }),
      json,
      at,
    );
    const left = (text: string): string => (strip_left ? text.replace(spaceAtStart, "") : text);
    // The test avoids most replacements, whose time is quadratic in the longest run of spaces.
    const right = (text: string): string => (strip_right && lastSpace.test(text) ? text.replace(spaceAtEnd, "") : text);
    return { normalize: (text) => right(left(text)), keepsStart: !strip_left };
  },
  StripAccents: (json, at) => {
    keysOf(z.strictObject({ type: z.literal("StripAccents") }), json, at);
    const accents = marks();
    return { normalize: (text) => text.replace(accents, ""), keepsStart: false };
  },
  Replace: (json, at) => {
    const schema = z.strictObject({ type: z.literal("Replace"), pattern: patternSchema, content: z.string() });
    const { pattern, content } = keysOf(schema, json, at);
    const find = patternOf(pattern, inside(at, "pattern"));
    return { normalize: (text) => find.replace(text, content), keepsStart: content !== "" };
  },
  Prepend: (json, at) => {
    const { prepend } = keysOf(z.strictObject({ type: z.literal("Prepend"), prepend: z.string() }), json, at);
    return { normalize: (text) => (text === "" ? "" : prepend + text), keepsStart: false };
  },
  ByteLevel: (json, at) => {
    keysOf(z.strictObject({ type: z.literal("ByteLevel") }), json, at);
    const alphabet = new ByteLevelAlphabet();
    return { normalize: (text) => alphabet.encode(text), keepsStart: true };
  },
  Sequence: (json, at) => {
    const { normalizers } = keysOf(z.strictObject({ type: z.literal("Sequence"), normalizers: z.array(z.unknown()) }), json, at);
    const parts = normalizers.map((part, i) => normalizerOf(part, inside(at, `normalizers[${i}]`)));
    return {
      normalize: (text) => parts.reduce((result, { normalize }) => normalize(result), text),
      keepsStart: parts.every(({ keepsStart }) => keepsStart),
    };
  },
};

/** Rust converts each character separately. JavaScript converts a final sigma differently from other sigmas. */
function lowercase(text: string): string {
  return text.includes("Σ") ? Array.from(text, (character) => character.toLowerCase()).join("") : text.toLowerCase();
}
