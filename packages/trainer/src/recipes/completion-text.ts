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
  decode: (ids) => tokenizer.decode(ids),
  end: (ids) => endAnswer(ids, chat).ids,
  endTokens: stopRule(chat).endTokens,
});
