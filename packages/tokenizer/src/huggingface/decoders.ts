import { z } from "zod";
import { ByteLevelAlphabet } from "./byte-level.js";
import { type Builder, build, inside, keysOf, type Location } from "./component.js";
import { metaspaceKeys } from "./pre-tokenizers.js";
import { patternOf, patternSchema } from "./regex.js";

/** One step from tokens to text. The result of the last step is joined. */
export type Decoder = (tokens: readonly string[]) => readonly string[];

/**
 * The `decoder` of a `tokenizer.json`. Null joins tokens with spaces.
 *
 * @throws LapidaryError `LAP_TOKENIZER_UNSUPPORTED`
 */
export function decoderOf(json: unknown, at: Location): Decoder {
  if (json === null || json === undefined) return (tokens) => [tokens.join(" ")];
  return build("decoder", builders, json, at);
}

const builders: Readonly<Record<string, Builder<Decoder>>> = {
  ByteLevel: (json, at) => {
    const flag = z.boolean().optional();
    keysOf(z.strictObject({ type: z.literal("ByteLevel"), add_prefix_space: flag, trim_offsets: flag, use_regex: flag }), json, at);
    const alphabet = new ByteLevelAlphabet();
    return (tokens) => [Buffer.concat(tokens.map((token) => alphabet.bytesOf(token))).toString("utf8")];
  },
  ByteFallback: (json, at) => {
    keysOf(z.strictObject({ type: z.literal("ByteFallback") }), json, at);
    return byteFallback;
  },
  Fuse: (json, at) => {
    keysOf(z.strictObject({ type: z.literal("Fuse") }), json, at);
    return (tokens) => [tokens.join("")];
  },
  Replace: (json, at) => {
    const schema = z.strictObject({ type: z.literal("Replace"), pattern: patternSchema, content: z.string() });
    const { pattern, content } = keysOf(schema, json, at);
    const find = patternOf(pattern, inside(at, "pattern"));
    return (tokens) => tokens.map((token) => find.replace(token, content));
  },
  Strip: (json, at) => {
    const length = z.number().int().nonnegative();
    const { content, start, stop } = keysOf(
      z.strictObject({ type: z.literal("Strip"), content: z.string(), start: length, stop: length }),
      json,
      at,
    );
    return (tokens) => tokens.map((token) => strip(token, content, start, stop));
  },
  Metaspace: (json, at) => {
    const { replacement, prependTo } = metaspaceKeys(json, at);
    return (tokens) => tokens.map((token, i) => token.replaceAll(replacement, i === 0 && prependTo !== "never" ? "" : " "));
  },
  BPEDecoder: (json, at) => {
    const { suffix } = keysOf(z.strictObject({ type: z.literal("BPEDecoder"), suffix: z.string() }), json, at);
    return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? "" : " "));
  },
  Sequence: (json, at) => {
    const { decoders } = keysOf(z.strictObject({ type: z.literal("Sequence"), decoders: z.array(z.unknown()) }), json, at);
    const parts = decoders.map((part, i) => build("decoder", builders, part, inside(at, `decoders[${i}]`)));
    return (tokens) => parts.reduce((result, part) => part(result), tokens);
  },
};

/** Replaces consecutive tokens `<0x41>` by the text of their bytes. If the bytes are not UTF-8, each becomes U+FFFD. */
function byteFallback(tokens: readonly string[]): string[] {
  const texts: string[] = [];
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length === 0) return;
    try {
      texts.push(utf8.decode(Uint8Array.from(bytes)));
    } catch {
      // The bytes are not UTF-8.
      texts.push(...bytes.map(() => "\ufffd"));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const hex = /^<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>$/.exec(token)?.[1];
    if (hex !== undefined) bytes.push(Number.parseInt(hex.replace("+", ""), 16));
    else {
      flush();
      texts.push(token);
    }
  }
  flush();
  return texts;
}

/** Removes the character at most `start` times at the start and `stop` times at the end. */
function strip(token: string, content: string, start: number, stop: number): string {
  const characters = Array.from(token);
  let from = 0;
  while (from < Math.min(start, characters.length) && characters[from] === content) from++;
  let to = characters.length;
  while (characters.length - to < stop && to > from && characters[to - 1] === content) to--;
  return characters.slice(from, to).join("");
}
