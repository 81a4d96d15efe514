import { decodeAfter, type TextTokenizer } from "@lapidary/tokenizer";
import { seededRandom, type Warning, counted } from "@lapidary/std";
import { generate, type Generated, type Sampling } from "@lapidary/training";

export interface SampleOptions {
  /** A text, or the ids of a whole prompt with its control tokens. */
  readonly prompt: string | readonly number[];
  readonly tokens: number;
  readonly sampling: Sampling;
  readonly seed: number;
  /** Ids that end the text besides those of the tokenizer, such as the end of a turn. */
  readonly stopTokens?: readonly number[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with each new part of the text. */
  readonly onText?: ((text: string) => void) | undefined;
}

export interface PromptReading {
  /** Tokens of the prompt, without `<bos>`. */
  readonly promptTokens: number;
  /** The last tokens of the prompt that the model reads for its first token. */
  readonly promptTokensSeen: number;
}

export interface GeneratedSample extends PromptReading {
  readonly text: string;
  /** Number of generated tokens. */
  readonly tokens: number;
  /** `stop`: the model ended the text. `length`: the text has the maximum number of tokens. */
  readonly end: "stop" | "length";
}

/** Computes logits of a sequence: the program `next_token`, or a seat of a batch. */
export interface NextLogits {
  /** Maximum number of tokens that the model reads. */
  readonly context: number;
  /** Logits [V] of the token after the last of `tokens`, at most `context` of them. */
  logits(tokens: readonly number[]): Promise<Float32Array>;
}

/** Text that continues a prompt. If the prompt is longer than the context, the model reads `<bos>` and the end of the prompt. */
export async function generateSample(next: NextLogits, tokenizer: TextTokenizer, options: SampleOptions): Promise<GeneratedSample> {
  const { prompt, onText, ...rest } = options;
  const before = typeof prompt === "string" ? promptIds(tokenizer, prompt) : prompt;
  const decoder = tokenizer.decodeStream({}, before);
  const emitText = (part: string): void => {
    if (part !== "") onText?.(part);
  };
  const { tokens, stoppedBy } = await generateTokens(next, tokenizer, {
    ...rest,
    prompt: before,
    onToken: (token) => emitText(decoder.push(token)),
  });
  emitText(decoder.end());
  return {
    text: decodeAfter(tokenizer, before, tokens),
    tokens: tokens.length,
    end: stoppedBy === "eos" ? "stop" : "length",
    ...promptReading(tokenizer, before, next.context),
  };
}

/** How many tokens of a prompt the model reads. */
export function promptReading(tokenizer: TextTokenizer, prompt: readonly number[], context: number): PromptReading {
  const { bos, eos, pad } = tokenizer.control;
  const front = frontTokens(tokenizer, prompt);
  // An empty prompt of a model without `<bos>` is the token that ends a text.
  const isEmpty = bos === undefined && prompt.length === 1 && prompt[0] === (eos ?? pad);
  const promptTokens = isEmpty ? 0 : prompt.length - front;
  return { promptTokens, promptTokensSeen: Math.min(promptTokens, context - front) };
}

export interface TokenOptions extends Omit<SampleOptions, "prompt" | "onText"> {
  /** Not empty. */
  readonly prompt: readonly number[];
  /** Called with each token, and with the logits from which it was drawn. */
  readonly onToken?: (token: number, logits: Float32Array) => void;
}

/** Tokens that continue a prompt. */
export function generateTokens(next: NextLogits, tokenizer: TextTokenizer, options: TokenOptions): Promise<Generated> {
  const { prompt, tokens, sampling, seed, stopTokens = [], signal, onToken } = options;
  const stops = [...tokenizer.control.stops, ...stopTokens];
  let drawnFrom = new Float32Array();
  return generate(
    async (row) => {
      // The embedding of a model may have more rows than the tokenizer has ids.
      drawnFrom = (await next.logits(row)).subarray(0, tokenizer.vocabSize) as Float32Array<ArrayBuffer>;
      return drawnFrom;
    },
    {
      prompt,
      pinnedTokens: frontTokens(tokenizer, prompt),
      maxTokens: tokens,
      contextLength: next.context,
      sampling,
      random: seededRandom(seed),
      stopTokens: stops,
      forbiddenTokens: tokenizer.suppressedIds.filter((id) => !stops.includes(id)),
      onToken: (token) => onToken?.(token, drawnFrom),
      ...(signal === undefined ? {} : { signal }),
    },
  );
}

/** The ids of a text with the tokens before it: `<bos>`, or for an empty text of a model without `<bos>` the token that ends a text. */
export function promptIds(tokenizer: TextTokenizer, text: string): readonly number[] {
  const { bos, eos, pad } = tokenizer.control;
  const ids = tokenizer.encode(text);
  if (bos !== undefined) return [bos, ...ids];
  return ids.length > 0 ? ids : [eos ?? pad];
}

/** Number of tokens before the text of a prompt: 1 if it starts with `<bos>`. The model always reads them. */
const frontTokens = ({ control: { bos } }: TextTokenizer, prompt: readonly number[]): number =>
  bos !== undefined && prompt[0] === bos ? 1 : 0;

/** The warning for a prompt that the model does not read completely; undefined if it does. */
export function cutPromptWarning({ promptTokens, promptTokensSeen }: PromptReading, context: number, place: string): Warning | undefined {
  if (promptTokensSeen === promptTokens) return undefined;
  return {
    code: "LAP_SAMPLE_PROMPT_CUT",
    message: `the model sees the last ${promptTokensSeen} of the ${counted(promptTokens, "token")} of the prompt: its context is ${counted(context, "token")}`,
    place,
    remedy: "shorten the prompt, or train with a longer model.context_length",
  };
}
