/** Ids that structure a packed corpus and a prompt. */
export interface ControlTokens {
  /** Precedes every text; absent if the model was trained without it. */
  readonly bos?: number | undefined;
  /** Follows every text; absent if the model has none, or if `bos` separates texts. */
  readonly eos?: number | undefined;
  /** Pads rows; it is never a target. */
  readonly pad: number;
  /** Ids that end a generated text. */
  readonly stops: readonly number[];
}

/** The token that is never a target, because it starts a text. If one token starts and ends texts, it counts as an end. */
export function maskedToken({ bos, eos }: Pick<ControlTokens, "bos" | "eos">): number | undefined {
  return eos === undefined ? undefined : bos;
}

/** The control tokens of dialogues, by their purpose. */
export interface TurnIds {
  readonly startOfTurn: number;
  /** Ends an answer of the model. */
  readonly endOfTurn: number;
}

export interface DecodeOptions {
  /** Writes control tokens as `<bos>`, `<eos>`, …. By default they are omitted. */
  readonly special?: boolean;
}

/** Decodes tokens one at a time. */
export interface TextStream {
  /** The text that this token completes, often empty for a byte token. */
  push(id: number): string;
  /** The remaining text after the last token. */
  end(): string;
}

/** Text to ids and back: a trained tokenizer, or the tokenizer of a Hugging Face checkpoint. */
export interface TextTokenizer {
  /** One past the greatest id. */
  readonly vocabSize: number;
  readonly control: ControlTokens;
  /** The ids of the turns of a dialogue, where they are known without their names. `encode` of a trained tokenizer never yields them. */
  readonly turns?: TurnIds | undefined;
  /** Ids that sampling never generates, because they are neither text nor the end of a text. */
  readonly suppressedIds: readonly number[];
  /** Ids of `text` alone, without the control tokens around it. */
  encode(text: string): number[];
  /** @throws LapidaryError `LAP_DATA_TOKEN_ID` for an id outside of the vocabulary */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  /**
   * Decodes tokens one at a time. Buffers the bytes of an incomplete character.
   *
   * @param after the preceding ids, whose text is not returned
   */
  decodeStream(options?: DecodeOptions, after?: readonly number[]): TextStream;
}

/** The text that `ids` add to the text of the preceding ids. */
export function decodeAfter(tokenizer: TextTokenizer, before: readonly number[], ids: readonly number[]): string {
  const [prefix, whole] = [tokenizer.decode(before), tokenizer.decode([...before, ...ids])];
  return whole.startsWith(prefix) ? whole.slice(prefix.length) : tokenizer.decode(ids);
}
