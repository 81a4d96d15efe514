import type { ChatTokenizer } from "./chat-tokenizer.js";
import type { Turn } from "./example.js";
import { renderDialogue } from "./template.js";
import { checkPrompt } from "./turns.js";

/**
 * The ids of a dialogue that the model answers, up to the start of its answer.
 *
 * @param key names the dialogue in errors
 * @throws LapidaryError `LAP_EXAMPLE_ROLE`, `LAP_EXAMPLE_CONTROL_TEXT`
 */
export function encodeDialogue(turns: readonly Turn[], tokenizer: ChatTokenizer, key: string): readonly number[] {
  checkPrompt(turns, key);
  return renderDialogue(turns, tokenizer, { generationPrompt: true }).ids;
}
