import type { ReleasedToken } from "../generation/choice.js";
import type { AnswerFormat, FormatContext } from "./answer-format.js";

export const completionFormat: AnswerFormat = {
  idPrefix: "cmpl-",
  answerObject: "text_completion",
  eventObject: "text_completion",
  deltaChoices: ({ index, text, tokens, finish }, context) => [
    { index, text, logprobs: completionLogprobs(tokens, context), finish_reason: finish ?? null },
  ],
  choice: ({ index, text, tokens, finish }, context) => ({
    index,
    text,
    logprobs: completionLogprobs(tokens, context),
    finish_reason: finish,
  }),
};

function completionLogprobs(tokens: readonly ReleasedToken[], { withLogprobs, tokenText }: FormatContext): unknown {
  if (!withLogprobs) return null;
  return {
    tokens: tokens.map(({ token }) => tokenText(token.id)),
    token_logprobs: tokens.map(({ token }) => token.logprob ?? null),
    top_logprobs: tokens.map(({ token }) => Object.fromEntries((token.top ?? []).map(({ id, logprob }) => [tokenText(id), logprob]))),
    text_offset: tokens.map(({ offset }) => offset),
  };
}
