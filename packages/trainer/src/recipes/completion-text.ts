import { type ChatTokenizer, chatTokenizer, endAnswer } from "@lapidary/data";
import { readTokenizer, type TextTokenizer, withTurnTokens } from "@lapidary/tokenizer";
import type { CompletionText } from "../rl/rl-settings.js";
import type { StopRule } from "./recipe.js";

/** How completions end with the tokenizer at a path. */
export function readStopRule(path: string): StopRule {
  const stored = readTokenizer(path);
  return stopRule(chatTokenizer((withTurnTokens(stored.tokenizer) ?? stored).tokenizer));
}

export function stopRule(tokenizer: ChatTokenizer): StopRule {
  const { endOfTurn, eos } = tokenizer.control;
  return { stopTokens: eos === undefined ? [endOfTurn] : [endOfTurn, eos], endTokens: tokenizer.encode("\n").length };
}

export const completionText = (tokenizer: TextTokenizer, chat: ChatTokenizer): CompletionText => ({
  decode: (ids) => decodeAll(tokenizer, ids),
  end: (ids) => endAnswer(ids, chat).ids,
  endTokens: stopRule(chat).endTokens,
});

/** What a text shows for an id that the tokenizer does not have. The embedding may have more rows than the tokenizer has ids. */
const unknownText = "\uFFFD";

/** The text of ids that a model drew from all rows of its embedding. */
export function decodeAll(tokenizer: Pick<TextTokenizer, "decode" | "vocabSize">, ids: readonly number[]): string {
  const texts: string[] = [];
  let known: number[] = [];
  for (const id of ids) {
    if (id < tokenizer.vocabSize) known.push(id);
    else {
      texts.push(tokenizer.decode(known), unknownText);
      known = [];
    }
  }
  return [...texts, tokenizer.decode(known)].join("");
}
