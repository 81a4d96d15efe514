import { z } from "zod";
import { badTokenizer } from "./tokenizer-errors.js";
import { Tokenizer } from "./tokenizer.js";

const id = z.number().int().nonnegative();

const tokenizerSchema = z.strictObject({
  format: z.literal("lapidary-bpe"),
  version: z.literal(1),
  vocabSize: z.number().int(),
  alphabet: z.array(z.string()),
  merges: z.array(z.tuple([id, id])),
  turns: z.literal(true).optional(),
});

/**
 * A tokenizer from the result of `toJSON`. Every merge must join pieces of earlier merges, so merges cannot
 * be cyclic.
 *
 * @param json the parsed JSON
 * @param place the file, for errors
 * @throws LapidaryError `LAP_DATA_TOKENIZER`
 */
export function tokenizerFromJSON(json: unknown, place = "tokenizer"): Tokenizer {
  const parsed = tokenizerSchema.safeParse(json);
  if (!parsed.success) throw badTokenizer(place, firstIssue(parsed.error));
  return new Tokenizer(parsed.data, place);
}

/** The first issue of a failed parse as `key.path: message`. */
export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return "unknown";
  return issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`;
}
