import { assert, type Random } from "@lapidary/std";
import { type Sampling, sampleToken } from "./sample-token.js";

export interface GenerateOptions {
  /** Ids to go on from, `<bos>` first; not empty. */
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  /** Tokens that the model sees at once; of a longer text it sees the end. */
  readonly contextLength: number;
  readonly sampling: Sampling;
  readonly random: Random;
  /** The token that ends a text. */
  readonly eos: number;
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
  const { prompt, maxTokens, contextLength, sampling, random, eos, never, onToken, signal } = options;
  assert(prompt.length > 0, "a prompt holds <bos> at least");
  const text = [...prompt];
  while (text.length - prompt.length < maxTokens) {
    signal?.throwIfAborted();
    const token = sampleToken(await nextLogits(text.slice(-contextLength)), sampling, random, never);
    if (token === eos) return { tokens: text.slice(prompt.length), stoppedBy: "eos" };
    text.push(token);
    onToken?.(token);
  }
  return { tokens: text.slice(prompt.length), stoppedBy: "length" };
}
