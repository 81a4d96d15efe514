import { SpecialToken, type Tokenizer } from "@lapidary/data";
import { must, seededRandom } from "@lapidary/std";
import { generate, type Sampling } from "@lapidary/training";
import type { RunPrograms } from "./run-programs.js";

export interface SampleOptions {
  readonly prompt: string;
  readonly tokens: number;
  readonly sampling: Sampling;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Hears of the text as it grows. */
  readonly onText?: (text: string) => void;
}

/** Text that the model goes on with after the prompt. */
export async function generateSample(programs: Pick<RunPrograms, "context" | "nextToken">, tokenizer: Tokenizer, options: SampleOptions): Promise<string> {
  const { prompt, tokens, sampling, seed, signal, onText } = options;
  const { context } = programs;
  const decoder = tokenizer.decodeStream();
  let text = "";
  const tell = (part: string): void => {
    if (part === "") return;
    text += part;
    onText?.(part);
  };
  const nextLogits = (row: readonly number[]): Promise<Float32Array> => {
    const padded = new Int32Array(context).fill(SpecialToken.pad);
    padded.set(row);
    return programs.nextToken(padded, row.length - 1);
  };
  await generate(nextLogits, {
    prompt: [SpecialToken.bos, ...tokenizer.encode(prompt)],
    maxTokens: tokens,
    contextLength: context,
    sampling,
    random: seededRandom(seed),
    eos: SpecialToken.eos,
    never: neverDrawn(tokenizer),
    onToken: (token) => tell(decoder.push(token)),
    signal,
  });
  tell(decoder.end());
  return must(text, "text");
}

/** Control tokens, and ids that stand for no text. */
function neverDrawn({ usedSize, vocabSize }: Tokenizer): number[] {
  const { pad, bos, unk } = SpecialToken;
  return [pad, bos, unk, ...Array.from({ length: vocabSize - usedSize }, (_, i) => usedSize + i)];
}
