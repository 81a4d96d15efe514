import { SpecialToken, type Tokenizer } from "@lapidary/data";
import { seededRandom } from "@lapidary/std";
import { generate, type Sampling } from "@lapidary/training";
import type { NextToken } from "./next-token.js";

export interface SampleOptions {
  readonly prompt: string;
  readonly tokens: number;
  readonly sampling: Sampling;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  /** Hears of the text as it grows. */
  readonly onText?: (text: string) => void;
}

/** Text that the model goes on with after the prompt. */
export async function generateSample(
  nextToken: Pick<NextToken, "context" | "logits">,
  tokenizer: Tokenizer,
  options: SampleOptions,
): Promise<string> {
  const { prompt, tokens, sampling, seed, signal, onText } = options;
  const decoder = tokenizer.decodeStream();
  let text = "";
  const tell = (part: string): void => {
    if (part === "") return;
    text += part;
    onText?.(part);
  };
  await generate((row) => nextToken.logits(row), {
    prompt: [SpecialToken.bos, ...tokenizer.encode(prompt)],
    maxTokens: tokens,
    contextLength: nextToken.context,
    sampling,
    random: seededRandom(seed),
    eos: SpecialToken.eos,
    never: neverDrawn(tokenizer),
    onToken: (token) => tell(decoder.push(token)),
    ...(signal === undefined ? {} : { signal }),
  });
  tell(decoder.end());
  return text;
}

/** Control tokens, and ids that stand for no text. */
function neverDrawn({ usedSize, vocabSize }: Tokenizer): number[] {
  const { pad, bos, unk } = SpecialToken;
  return [pad, bos, unk, ...Array.from({ length: vocabSize - usedSize }, (_, i) => usedSize + i)];
}
