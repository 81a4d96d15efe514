import { chatTokenizer, encodeDialogue, type Turn } from "@lapidary/data";
import type { TextTokenizer } from "@lapidary/tokenizer";

/** The chat template of a model. */
export interface Chat {
  /**
   * The ids of a dialogue up to the start of the next answer.
   *
   * @param key names the dialogue in errors
   * @throws LAP_EXAMPLE_ROLE, LAP_EXAMPLE_CONTROL_TEXT
   */
  encode(turns: readonly Turn[], key: string): readonly number[];
  /** The ids that end the answer to a prompt: the end of a turn, if the prompt has turns. */
  stopTokens(prompt: readonly number[]): readonly number[];
}

/**
 * Gemma's chat template in the ids of a tokenizer.
 *
 * @throws LAP_EXAMPLE_TURN_TOKENS if the tokenizer has no control tokens for turns
 */
export function chatOf(tokenizer: TextTokenizer): Chat {
  const adapted = chatTokenizer(tokenizer);
  const { startOfTurn, endOfTurn } = adapted.control;
  return {
    encode: (turns, key) => encodeDialogue(turns, adapted, key),
    stopTokens: (prompt) => (prompt.includes(startOfTurn) ? [endOfTurn] : []),
  };
}
