import { type ChatTokenizer, chatTokenizer, endAnswer } from "@lapidary/data";
import { readTokenizer, type TextTokenizer, withTurnTokens } from "@lapidary/tokenizer";
import type { AnswerText } from "../rl/rl-settings.js";
import type { AnswerEnd } from "./recipe.js";

/** How answers end with the tokenizer at a path. */
export function readAnswerEnd(path: string): AnswerEnd {
  const stored = readTokenizer(path);
  return answerEnd(chatTokenizer((withTurnTokens(stored.tokenizer) ?? stored).tokenizer));
}

export function answerEnd(tokenizer: ChatTokenizer): AnswerEnd {
  const { endOfTurn, eos } = tokenizer.control;
  return { stopTokens: eos === undefined ? [endOfTurn] : [endOfTurn, eos], endTokens: tokenizer.encode("\n").length };
}

export const answerText = (tokenizer: TextTokenizer, chat: ChatTokenizer): AnswerText => ({
  decode: (ids) => tokenizer.decode(ids),
  end: (ids) => endAnswer(ids, chat).ids,
  endTokens: answerEnd(chat).endTokens,
});
