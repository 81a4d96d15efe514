/** A checked request: what the engine generates, and the form of the answer. */
export interface GenerationPlan {
  readonly prompts: readonly PlannedPrompt[];
  /** Choices of each prompt. */
  readonly n: number;
  readonly temperature: number;
  readonly top_p: number;
  readonly top_k: number | undefined;
  /** Absent: the server draws a seed. */
  readonly seed: number | undefined;
  readonly stop: readonly string[];
  /** Absent: no log probabilities. */
  readonly topLogprobs: number | undefined;
  readonly stream: boolean;
  /** Whether a stream ends with an event that has the usage. */
  readonly includeUsage: boolean;
}

export interface PlannedPrompt {
  readonly ids: readonly number[];
  /** Text that precedes the generated text in the answer. */
  readonly echo: string;
  readonly maxTokens: number;
}
