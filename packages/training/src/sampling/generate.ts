import { assert, type Random } from "@lapidary/std";
import { type Sampling, sampleToken } from "./sample-token.js";

export interface GenerateOptions {
  /** Token ids to continue; not empty. */
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  /** Maximum number of tokens that the model reads. Of a longer text it reads the first `pinnedTokens` tokens and the end. */
  readonly contextLength: number;
  /** Number of first tokens of the prompt that the model always reads: 1 if it starts with `<bos>`. Default 0. */
  readonly pinnedTokens?: number;
  readonly sampling: Sampling;
  readonly random: Random;
  /** Tokens that end a text. */
  readonly stopTokens: readonly number[];
  /** Ids that are never drawn, such as padding. */
  readonly forbiddenTokens?: readonly number[];
  /** Called with every token that is drawn. */
  readonly onToken?: (token: number) => void;
  /** Stops generation between two tokens. The promise then rejects with the reason of the signal. */
  readonly signal?: AbortSignal;
}

export interface Generated {
  /** Without the prompt and without `<eos>`. */
  readonly tokens: readonly number[];
  readonly stoppedBy: "eos" | "length";
  /** The token that ended the text. */
  readonly end?: number;
}

/**
 * Generates text token by token. The same logits and the same seed give the same text.
 *
 * @param nextLogits logits [V] of the token after the last of `tokens`, at most `contextLength` of them
 */
export async function generate(
  nextLogits: (tokens: readonly number[]) => Promise<Float32Array>,
  options: GenerateOptions,
): Promise<Generated> {
  const { prompt, maxTokens, contextLength, pinnedTokens = 0, sampling, random, stopTokens, forbiddenTokens, onToken, signal } = options;
  assert(prompt.length > 0, "a prompt is not empty");
  const text = [...prompt];
  while (text.length - prompt.length < maxTokens) {
    signal?.throwIfAborted();
    const token = sampleToken(await nextLogits(contextWindow(text, contextLength, pinnedTokens)), sampling, random, forbiddenTokens);
    if (stopTokens.includes(token)) return { tokens: text.slice(prompt.length), stoppedBy: "eos", end: token };
    text.push(token);
    onToken?.(token);
  }
  return { tokens: text.slice(prompt.length), stoppedBy: "length" };
}

/** The tokens that the model reads: the whole text, or its first tokens and its end. */
function contextWindow(text: readonly number[], contextLength: number, pinnedTokens: number): readonly number[] {
  if (text.length <= contextLength) return text.slice();
  const end = Math.max(1, contextLength - pinnedTokens);
  return [...text.slice(0, contextLength - end), ...text.slice(-end)];
}
