import type { ReleasedToken } from "../generation/choice.js";
import type { AnswerFormat, FormatContext, TokenText } from "./answer-format.js";

export const chatFormat: AnswerFormat = {
  idPrefix: "chatcmpl-",
  answerObject: "chat.completion",
  eventObject: "chat.completion.chunk",
  openChoice: (index) => ({ index, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }),
  deltaChoices({ index, text, tokens, finish }, context) {
    const content = { index, delta: { content: text }, logprobs: chatLogprobs(tokens, context), finish_reason: null };
    const end = { index, delta: {}, logprobs: null, finish_reason: finish };
    return [...(text !== "" || tokens.length > 0 ? [content] : []), ...(finish === undefined ? [] : [end])];
  },
  choice: ({ index, text, tokens, finish }, context) => ({
    index,
    message: { role: "assistant", content: text, refusal: null },
    logprobs: chatLogprobs(tokens, context),
    finish_reason: finish,
  }),
};

function chatLogprobs(tokens: readonly ReleasedToken[], { withLogprobs, tokenText }: FormatContext): unknown {
  if (!withLogprobs) return null;
  const content = tokens.map(({ token }) => ({
    ...entry(token.id, token.logprob, tokenText),
    top_logprobs: (token.top ?? []).map(({ id, logprob }) => entry(id, logprob, tokenText)),
  }));
  return { content, refusal: null };
}

function entry(
  id: number,
  logprob: number | undefined,
  tokenText: TokenText,
): { token: string; logprob: number | null; bytes: number[] | null } {
  const token = tokenText(id);
  return { token, logprob: finiteOrNull(logprob), bytes: token.includes("\ufffd") ? null : [...Buffer.from(token)] };
}

/** JSON has no infinities: a token of probability 0 has null. */
const finiteOrNull = (logprob: number | undefined): number | null => (Number.isFinite(logprob) ? (logprob ?? null) : null);
