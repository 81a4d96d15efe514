import { ensure } from "@lapidary/std";
import type { TextTokenizer } from "@lapidary/tokenizer";
import type { Sampler } from "@lapidary/trainer";
import { tokenLogprobs } from "../../serve/token-logprobs.js";

/** What the test of recitation needs of a model. Prompts have no `<bos>`: the model adds it. Calls in flight share a batch. */
export interface RecitingModel {
  readonly tokenizer: Pick<TextTokenizer, "encode" | "decode">;
  /** The most probable tokens after a prompt. Fewer than `tokens` if the model ends the text. */
  continue(prompt: readonly number[], tokens: number): Promise<readonly number[]>;
  /** The logarithm of the probability that the tokens follow the prompt. */
  logProbability(prompt: readonly number[], tokens: readonly number[]): Promise<number>;
}

/** The model of a sampler, which `lapidary sample` also uses. */
export function recitingModel(sampler: Pick<Sampler, "generateTokens" | "seated" | "tokenizer">, signal: AbortSignal): RecitingModel {
  const { tokenizer } = sampler;
  const { bos, eos, pad } = tokenizer.control;
  /** As `promptIds`: a model without `<bos>` reads the token that ends a text before an empty prompt. */
  const front = (prompt: readonly number[]): readonly number[] => {
    if (bos !== undefined) return [bos, ...prompt];
    return prompt.length > 0 ? prompt : [eos ?? pad];
  };
  return {
    tokenizer,
    continue: async (prompt, tokens) => {
      const generated = await sampler.generateTokens({
        prompt: front(prompt),
        tokens,
        sampling: { temperature: 0, top_p: 1 },
        seed: 0,
        signal,
      });
      return generated.tokens;
    },
    logProbability: (prompt, tokens) =>
      sampler.seated(async (next) => {
        const row = [...front(prompt)];
        let sum = 0;
        for (const token of tokens) {
          signal.throwIfAborted();
          const logits = await next.logits(row);
          sum += tokenLogprobs(logits.subarray(0, tokenizer.vocabSize), token, 0).logprob;
          row.push(token);
        }
        return sum;
      }),
  };
}

/** The results of all items in order. At most `together` run at the same time. */
export async function inBatches<T, R>(
  items: readonly T[],
  together: number,
  run: (item: T) => Promise<R>,
  onDone: (done: number) => void,
): Promise<readonly R[]> {
  const results: R[] = [];
  for (let from = 0; from < items.length; from += together) {
    // The batch waits for all its sequences, so a failure is reported after all of them have left.
    const settled = await Promise.allSettled(items.slice(from, from + together).map(run));
    for (const each of settled) {
      if (each.status === "rejected") throw each.reason;
      results.push(each.value);
    }
    onDone(results.length);
  }
  return results;
}

/** The tokens of a row without those that begin and end a text. */
export function textTokens(ids: ArrayLike<number>, { control: { bos, eos } }: TextTokenizer): readonly number[] {
  const all = Array.from(ids);
  const from = bos !== undefined && all[0] === bos ? 1 : 0;
  const to = eos !== undefined && all.length > from && ensure(all.at(-1), "token") === eos ? all.length - 1 : all.length;
  return all.slice(from, to);
}
