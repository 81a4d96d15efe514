import { z } from "zod";
import { badTokenizer } from "../tokenizer-errors.js";
import type { ControlFiles } from "./control-tokens.js";

const listSchema = z.looseObject({ added_tokens_decoder: z.record(z.string(), z.looseObject({ content: z.string() })) });

/**
 * Checks that the tokenizer has all tokens of `added_tokens_decoder` in tokenizer_config.json. transformers adds missing ones, so the
 * weights may have been trained with them.
 *
 * @throws LapidaryError `LAP_DATA_TOKENIZER`
 */
export function checkListedTokens(files: ControlFiles, idOf: (token: string) => number | undefined, file: string): void {
  const parsed = listSchema.safeParse(files["tokenizer_config.json"]);
  if (!parsed.success) return;
  for (const [id, { content }] of Object.entries(parsed.data.added_tokens_decoder)) {
    const known = idOf(content);
    if (known === Number(id)) continue;
    const has = known === undefined ? "the tokenizer does not have it" : `its id in the tokenizer is ${known}`;
    throw badTokenizer(
      file,
      `tokenizer_config.json lists ${JSON.stringify(content)} with the id ${id}, but ${has}`,
      "save the tokenizer again with transformers (AutoTokenizer.from_pretrained, save_pretrained), which writes both files",
    );
  }
}
