import { z } from "zod";
import { unsupportedTokenizer } from "../tokenizer-errors.js";
import { type Builder, build, inside, keysOf, type Location, place } from "./component.js";

/** Ids before a text and after it. */
export interface Template {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

const bare: Template = { prefix: [], suffix: [] };

/**
 * The ids that the `post_processor` of a `tokenizer.json` adds to a text. Null adds none.
 *
 * @throws LapidaryError `LAP_TOKENIZER_UNSUPPORTED`
 */
export function templateOf(json: unknown, at: Location): Template {
  return json === null || json === undefined ? bare : build("post_processor", builders, json, at);
}

const pieceSchema = z.union([
  z.strictObject({ SpecialToken: z.strictObject({ id: z.string(), type_id: z.number() }) }),
  z.strictObject({ Sequence: z.strictObject({ id: z.enum(["A", "B"]), type_id: z.number() }) }),
]);

const templateSchema = z.strictObject({
  type: z.literal("TemplateProcessing"),
  single: z.array(pieceSchema),
  pair: z.unknown().optional(),
  special_tokens: z.record(
    z.string(),
    z.strictObject({ id: z.string(), ids: z.array(z.number().int().nonnegative()), tokens: z.array(z.string()) }),
  ),
});

const named = z.tuple([z.string(), z.number().int().nonnegative()]);

const builders: Readonly<Record<string, Builder<Template>>> = {
  // It changes only offsets.
  ByteLevel: () => bare,
  TemplateProcessing: (json, at) => {
    const { single, special_tokens } = keysOf(templateSchema, json, at);
    const texts = single.filter((piece) => "Sequence" in piece);
    if (texts.length !== 1)
      throw unsupportedTokenizer(place(inside(at, "single")), `the template contains the text ${texts.length} times, not once`);
    const text = single.findIndex((piece) => "Sequence" in piece);
    const ids = (pieces: typeof single): number[] =>
      pieces.flatMap((piece) => {
        if (!("SpecialToken" in piece)) return [];
        const token = special_tokens[piece.SpecialToken.id];
        if (token !== undefined) return token.ids;
        throw unsupportedTokenizer(
          place(inside(at, "special_tokens")),
          `the template names ${piece.SpecialToken.id}, which special_tokens lacks`,
        );
      });
    return { prefix: ids(single.slice(0, text)), suffix: ids(single.slice(text + 1)) };
  },
  BertProcessing: (json, at) => {
    const { sep, cls } = keysOf(z.strictObject({ type: z.literal("BertProcessing"), sep: named, cls: named }), json, at);
    return { prefix: [cls[1]], suffix: [sep[1]] };
  },
  RobertaProcessing: (json, at) => {
    const flag = z.boolean();
    const { sep, cls } = keysOf(
      z.strictObject({ type: z.literal("RobertaProcessing"), sep: named, cls: named, trim_offsets: flag, add_prefix_space: flag }),
      json,
      at,
    );
    return { prefix: [cls[1]], suffix: [sep[1]] };
  },
  Sequence: (json, at) => {
    const { processors } = keysOf(z.strictObject({ type: z.literal("Sequence"), processors: z.array(z.unknown()) }), json, at);
    return processors
      .map((part, i) => build("post_processor", builders, part, inside(at, `processors[${i}]`)))
      .reduce((result, part) => ({ prefix: [...part.prefix, ...result.prefix], suffix: [...result.suffix, ...part.suffix] }), bare);
  },
};
