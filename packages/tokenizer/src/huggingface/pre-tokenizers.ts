import { z } from "zod";
import { unsupportedTokenizer } from "../tokenizer-errors.js";
import { ByteLevelAlphabet } from "./byte-level.js";
import { type Builder, build, inside, keysOf, type Location, place } from "./component.js";
import { type Pattern, patternOf, patternSchema, regexPattern } from "./regex.js";
import { behaviorSchema, split, type SplitBehavior } from "./split.js";
import { punctuation } from "./unicode-tables.js";

/**
 * Splits a text into words. Merges apply only inside a word.
 *
 * @param isFirst whether the text is the start of the encoded text
 */
export type PreTokenizer = (text: string, isFirst: boolean) => string[];

/**
 * The `pre_tokenizer` of a `tokenizer.json`. Null does not split.
 *
 * @param keepsStart of the normalizer
 * @throws LapidaryError `LAP_TOKENIZER_UNSUPPORTED`
 */
export function preTokenizerOf(json: unknown, at: Location, keepsStart: boolean): PreTokenizer {
  if (json === null || json === undefined) return (text) => [text];
  return build("pre_tokenizer", buildersFor(keepsStart), json, at);
}

const prependScheme = z.enum(["first", "never", "always"]);

/** @param keepsStart whether the first character of a normalized text comes from the first character of the text */
const buildersFor = (keepsStart: boolean): Readonly<Record<string, Builder<PreTokenizer>>> => ({
  ...builders,
  Metaspace: (json, at) => metaspace(json, at, keepsStart),
  Sequence: (json, at) => {
    const schema = z.strictObject({ type: z.literal("Sequence"), pretokenizers: z.array(z.unknown()) });
    const parts = keysOf(schema, json, at).pretokenizers.map((part, i) =>
      preTokenizerOf(part, inside(at, `pretokenizers[${i}]`), keepsStart && i === 0),
    );
    return (text, isFirst) => parts.reduce((texts, part, i) => texts.flatMap((each) => part(each, isFirst && i === 0)), [text]);
  },
});

const builders: Readonly<Record<string, Builder<PreTokenizer>>> = {
  ByteLevel: (json, at) => {
    const schema = z.strictObject({
      type: z.literal("ByteLevel"),
      add_prefix_space: z.boolean(),
      trim_offsets: z.boolean().optional(),
      use_regex: z.boolean().default(true),
    });
    const { add_prefix_space, use_regex } = keysOf(schema, json, at);
    const alphabet = new ByteLevelAlphabet();
    const words = regexPattern(
      /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu,
    );
    return (text) => {
      const spaced = add_prefix_space && !text.startsWith(" ") ? ` ${text}` : text;
      return (use_regex ? split(spaced, words, "Isolated") : [spaced]).map((word) => alphabet.encode(word));
    };
  },
  Split: (json, at) => {
    const schema = z.strictObject({
      type: z.literal("Split"),
      pattern: patternSchema,
      behavior: behaviorSchema,
      invert: z.boolean().default(false),
    });
    const { pattern, behavior, invert } = keysOf(schema, json, at);
    return splitting(patternOf(pattern, inside(at, "pattern")), behavior, invert);
  },
  Digits: (json, at) => {
    const { individual_digits } = keysOf(z.strictObject({ type: z.literal("Digits"), individual_digits: z.boolean() }), json, at);
    return splitting(regexPattern(/\p{N}/gu), individual_digits ? "Isolated" : "Contiguous");
  },
  Punctuation: (json, at) => {
    const schema = z.strictObject({ type: z.literal("Punctuation"), behavior: behaviorSchema.default("Isolated") });
    return splitting(regexPattern(punctuation()), keysOf(schema, json, at).behavior);
  },
  Whitespace: (json, at) => {
    keysOf(z.strictObject({ type: z.literal("Whitespace") }), json, at);
    const word = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}`;
    return splitting(regexPattern(new RegExp(String.raw`[${word}]+|[^${word}\p{White_Space}]+`, "gu")), "Removed", true);
  },
  WhitespaceSplit: (json, at) => {
    keysOf(z.strictObject({ type: z.literal("WhitespaceSplit") }), json, at);
    return splitting(regexPattern(/\p{White_Space}/gu), "Removed");
  },
  CharDelimiterSplit: (json, at) => {
    const { delimiter } = keysOf(z.strictObject({ type: z.literal("CharDelimiterSplit"), delimiter: z.string() }), json, at);
    return splitting(patternOf({ String: delimiter }, at), "Removed");
  },
};

function splitting(pattern: Pattern, behavior: SplitBehavior, invert = false): PreTokenizer {
  return (text) => split(text, pattern, behavior, invert);
}

/** Replaces every space by `▁`, and adds one at the start of all texts, of the first text, or of none. */
function metaspace(json: unknown, at: Location, keepsStart: boolean): PreTokenizer {
  const { replacement, prependTo, isSplit } = metaspaceKeys(json, at);
  if (prependTo === "first" && !keepsStart)
    throw unsupportedTokenizer(
      place(at),
      'prepend_scheme "first" is not supported after a normalizer or pre-tokenizer that may remove or add the first character',
    );
  const delimiter = patternOf({ String: replacement }, at);
  return (text, isFirst) => {
    const marked = text.replaceAll(" ", replacement);
    const prepends = prependTo === "always" || (prependTo === "first" && isFirst);
    const whole = prepends && !marked.startsWith(replacement) ? replacement + marked : marked;
    return isSplit ? split(whole, delimiter, "MergedWithNext") : [whole];
  };
}

export interface MetaspaceKeys {
  readonly replacement: string;
  readonly prependTo: z.infer<typeof prependScheme>;
  readonly isSplit: boolean;
}

/** The keys of `Metaspace`, in its current form and in its earlier form with `add_prefix_space`. */
export function metaspaceKeys(json: unknown, at: Location): MetaspaceKeys {
  const schema = z.strictObject({
    type: z.literal("Metaspace"),
    replacement: z.string(),
    prepend_scheme: prependScheme.default("always"),
    add_prefix_space: z.boolean().nullish(),
    split: z.boolean().nullish(),
    str_rep: z.string().nullish(),
  });
  const keys = keysOf(schema, json, at);
  if (keys.add_prefix_space !== false)
    return { replacement: keys.replacement, prependTo: keys.prepend_scheme, isSplit: keys.split ?? true };
  if (keys.prepend_scheme !== "always")
    throw unsupportedTokenizer(place(at), `add_prefix_space is false, but prepend_scheme is "${keys.prepend_scheme}": they contradict`);
  return { replacement: keys.replacement, prependTo: "never", isSplit: keys.split ?? true };
}
