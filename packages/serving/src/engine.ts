/** The interface between the server and the program that generates tokens. The caller of `serveModel` implements it. */

/** One message of a dialogue. */
export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** How the engine draws the tokens of a row. The same row with the same seed has the same tokens. */
export interface RowSampling {
  /** 0 always draws the likeliest token. */
  readonly temperature: number;
  readonly top_p: number;
  /** Absent: all tokens. */
  readonly top_k?: number;
  /** An integer of 32 bits without sign. */
  readonly seed: number;
}

interface TokenLogprob {
  readonly id: number;
  /** Natural logarithm of the probability. */
  readonly logprob: number;
}

export interface GeneratedToken {
  readonly id: number;
  /** Present if the row has `topLogprobs`. */
  readonly logprob?: number;
  /** The `topLogprobs` likeliest tokens, the likeliest first. */
  readonly top?: readonly TokenLogprob[];
}

/** `stop`: the row drew a stop id. `length`: the row has `maxTokens` tokens. */
export type RowEnd = "stop" | "length";

/** One text that the engine generates. */
export interface GenerationRow {
  /** Not empty. */
  readonly prompt: readonly number[];
  readonly sampling: RowSampling;
  /** At least 1. Prompt and generated tokens fit in the context. */
  readonly maxTokens: number;
  /** The likeliest tokens to return with each token; 0 returns the log probability of the token alone. Absent: no log probabilities. */
  readonly topLogprobs?: number;
  /** After an abort, the engine stops to compute the row and need not call `onEnd`. */
  readonly signal: AbortSignal;
  /** Called with each token except stop ids. */
  onToken(token: GeneratedToken): void;
  /** Called once after the last token. */
  onEnd(reason: RowEnd): void;
}

/** Decodes tokens one at a time. */
export interface TokenTextStream {
  /** The text that this token completes, often empty for a token of single bytes. */
  push(id: number): string;
  /** The remaining text after the last token. */
  end(): string;
}

export interface GenerationEngine {
  /** The model in answers and in `GET /v1/models`. */
  readonly modelId: string;
  /** Seconds since the epoch. */
  readonly modelCreated: number;
  /** Maximum number of tokens of prompt and generated text. */
  readonly contextLength: number;
  /** One past the greatest id. */
  readonly vocabSize: number;
  /** Maximum number of rows in one call of `generate`. 1 if the engine has no batches. */
  readonly maxBatchRows: number;
  /** Maximum number of calls of `generate` in flight. More than 1 if the engine interleaves calls by token. */
  readonly maxConcurrentCalls: number;
  /** The greatest `topLogprobs` of a row. Absent if the engine has no log probabilities. */
  readonly maxTopLogprobs?: number;
  /** The ids of the prompt of a completion, with the control tokens that precede a text. */
  encodePrompt(text: string): readonly number[];
  /**
   * The ids of a dialogue in the chat template, up to the start of the next answer. Absent if the model has no chat template.
   *
   * @throws LapidaryError for a dialogue that the template does not allow
   */
  encodeChat?(messages: readonly ChatMessage[]): readonly number[];
  /** @param after the preceding ids, whose text is not returned */
  decodeStream(after: readonly number[]): TokenTextStream;
  /** Whether one call of `generate` can have these rows. Absent if every `maxBatchRows` rows can be one batch. */
  canBatch?(rows: readonly GenerationRow[]): boolean;
  /**
   * Generates the rows together. Resolves after every row ended or was aborted. Rejects if the engine fails; all rows without an end fail then.
   * The engine yields to the event loop between tokens.
   */
  generate(rows: readonly GenerationRow[]): Promise<void>;
}
