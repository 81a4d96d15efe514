import { assert, type Random } from "@lapidary/std";
import { type Sampling, sampleToken } from "./sample-token.js";

export interface GenerateOptions {
  /** Ids to go on from; not empty. */
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  /** Tokens that the model sees at once; of a longer text it sees the first `kept` and the end. */
  readonly contextLength: number;
  /** Tokens of the prompt that stay in front of what the model sees: 1 where it begins with `<bos>`. Default 0. */
  readonly kept?: number;
  readonly sampling: Sampling;
  readonly random: Random;
  /** The tokens that end a text. */
  readonly stops: readonly number[];
  /** Ids that are never drawn, such as padding. */
  readonly never?: readonly number[];
  /** Hears of every token as it is drawn. */
  readonly onToken?: (token: number) => void;
  /** Stops between two tokens; the promise then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface Generated {
  /** Without the prompt and without `<eos>`. */
  readonly tokens: readonly number[];
  readonly stoppedBy: "eos" | "length";
}

/**
 * Generates text token by token. Pure but for what `nextLogits` does: the same logits and the same seed give the same text.
 *
 * @param nextLogits logits [V] of the token after the last of `tokens`, at most `contextLength` of them
 */
export async function generate(
  nextLogits: (tokens: readonly number[]) => Promise<Float32Array>,
  options: GenerateOptions,
): Promise<Generated> {
  const { prompt, maxTokens, contextLength, kept = 0, sampling, random, stops, never, onToken, signal } = options;
  assert(prompt.length > 0, "a prompt is not empty");
  const text = [...prompt];
  while (text.length - prompt.length < maxTokens) {
    signal?.throwIfAborted();
    const token = sampleToken(await nextLogits(visible(text, contextLength, kept)), sampling, random, never);
    if (stops.includes(token)) return { tokens: text.slice(prompt.length), stoppedBy: "eos" };
    text.push(token);
    onToken?.(token);
  }
  return { tokens: text.slice(prompt.length), stoppedBy: "length" };
}

/** What the model sees of a text: all of it, or its first tokens and its end. */
function visible(text: readonly number[], contextLength: number, kept: number): readonly number[] {
  if (text.length <= contextLength) return text.slice();
  const end = Math.max(1, contextLength - kept);
  return [...text.slice(0, contextLength - end), ...text.slice(-end)];
}
