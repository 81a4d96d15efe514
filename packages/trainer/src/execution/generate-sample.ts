import { decodeAfter, type TextTokenizer } from "@lapidary/tokenizer";
import { seededRandom, type Warning, counted } from "@lapidary/std";
import { generate, type Sampling } from "@lapidary/training";
import type { NextToken } from "./next-token.js";

export interface SampleOptions {
  readonly prompt: string;
  /** The prompt as ids, if it has control tokens: a turn of a dialogue. By default `<bos>` and the ids of the text. */
  readonly promptIds?: readonly number[] | undefined;
  readonly tokens: number;
  readonly sampling: Sampling;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  /** Called with each new part of the text. */
  readonly onText?: (text: string) => void;
}

export interface GeneratedSample {
  readonly text: string;
  /** Tokens of the prompt, without `<bos>`. */
  readonly promptTokens: number;
  /** The last tokens of the prompt that the model reads for its first token. */
  readonly promptTokensSeen: number;
}

/** Text that continues a prompt. If the prompt is longer than the context, the model reads `<bos>` and the end of the prompt. */
export async function generateSample(
  nextToken: Pick<NextToken, "context" | "logits">,
  tokenizer: TextTokenizer,
  options: SampleOptions,
): Promise<GeneratedSample> {
  const { prompt, promptIds, tokens, sampling, seed, signal, onText } = options;
  const ids = promptIds === undefined ? tokenizer.encode(prompt) : promptIds.slice(1);
  const { front, kept } = promptIds === undefined ? promptStart(tokenizer, ids.length) : { front: promptIds.slice(0, 1), kept: 1 };
  const before = [...front, ...ids];
  const decoder = tokenizer.decodeStream({}, before);
  const emitText = (part: string): void => {
    if (part !== "") onText?.(part);
  };
  // The embedding of a model may have more rows than the tokenizer has ids.
  const logits = async (row: readonly number[]): Promise<Float32Array> => (await nextToken.logits(row)).subarray(0, tokenizer.vocabSize);
  const { tokens: drawn } = await generate(logits, {
    prompt: before,
    pinnedTokens: kept,
    maxTokens: tokens,
    contextLength: nextToken.context,
    sampling,
    random: seededRandom(seed),
    stopTokens: tokenizer.control.stops,
    forbiddenTokens: tokenizer.suppressedIds,
    onToken: (token) => emitText(decoder.push(token)),
    ...(signal === undefined ? {} : { signal }),
  });
  emitText(decoder.end());
  return {
    text: decodeAfter(tokenizer, before, drawn),
    promptTokens: ids.length,
    promptTokensSeen: Math.min(ids.length, nextToken.context - kept),
  };
}

/** Tokens before a prompt: `<bos>`, or for an empty prompt of a model without `<bos>` the token that ends a text. */
function promptStart(
  { control: { bos, eos, pad } }: TextTokenizer,
  promptTokens: number,
): { readonly front: readonly number[]; readonly kept: number } {
  if (bos !== undefined) return { front: [bos], kept: 1 };
  return { front: promptTokens > 0 ? [] : [eos ?? pad], kept: 0 };
}

/** The warning for a prompt that the model does not read completely; undefined if it does. */
export function cutPromptWarning({ promptTokens, promptTokensSeen }: GeneratedSample, context: number, place: string): Warning | undefined {
  if (promptTokensSeen === promptTokens) return undefined;
  return {
    code: "LAP_SAMPLE_PROMPT_CUT",
    message: `the model sees the last ${promptTokensSeen} of the ${counted(promptTokens, "token")} of the prompt: its context is ${counted(context, "token")}`,
    place,
    remedy: "shorten the prompt, or train with a longer model.context_length",
  };
}
