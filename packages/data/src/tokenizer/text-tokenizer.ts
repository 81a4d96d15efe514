/** Ids that structure a packed corpus and a prompt. */
export interface ControlTokens {
  /** In front of every text; absent where the model was trained without. */
  readonly bos?: number | undefined;
  /** After every text; absent where there is none, or where `bos` separates texts too. */
  readonly eos?: number | undefined;
  /** Fills rows; it is never a target. */
  readonly pad: number;
  /** Ids that end a generated text. */
  readonly stops: readonly number[];
}

/** The token that is not a target, because no text says what the next one is. Where one token begins and ends texts, it ends them. */
export function maskedToken({ bos, eos }: Pick<ControlTokens, "bos" | "eos">): number | undefined {
  return eos === undefined ? undefined : bos;
}

export interface DecodeOptions {
  /** Writes `<bos>`, `<eos>`, … where the control tokens stand; else they are left out. */
  readonly special?: boolean;
}

/** Text of tokens that arrive one at a time. */
export interface TextStream {
  /** The text that this token completes, often none for a byte token. */
  push(id: number): string;
  /** What is left when no more tokens come. */
  end(): string;
}

/** Text to ids and back: a tokenizer that we trained, or one of a Hugging Face checkpoint. */
export interface TextTokenizer {
  /** One past the greatest id. */
  readonly vocabSize: number;
  readonly control: ControlTokens;
  /** Ids that must not be generated, because they are no text and end none. */
  readonly neverDrawn: readonly number[];
  /** Ids of `text` alone, without the control tokens around it. */
  encode(text: string): number[];
  /** @throws LapidaryError `LAP_DATA_TOKEN_ID` for an id outside of the vocabulary */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  /**
   * Decodes tokens as they come, holding back the bytes of a character until it is whole.
   *
   * @param after ids in front of them, whose text is not repeated
   */
  decodeStream(options?: DecodeOptions, after?: readonly number[]): TextStream;
}

/** The text that `ids` add to that of the ids before them. */
export function decodeAfter(tokenizer: TextTokenizer, before: readonly number[], ids: readonly number[]): string {
  const [prefix, whole] = [tokenizer.decode(before), tokenizer.decode([...before, ...ids])];
  return whole.startsWith(prefix) ? whole.slice(prefix.length) : tokenizer.decode(ids);
}
