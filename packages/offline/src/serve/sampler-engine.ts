import type { ChatMessage, GeneratedToken, GenerationEngine, GenerationRow, TokenTextStream } from "@lapidary/serving";
import type { TextTokenizer } from "@lapidary/tokenizer";
import { promptIds, type Sampler } from "@lapidary/trainer";
import type { Chat } from "../generation/chat.js";
import { tokenLogprobs } from "./token-logprobs.js";

export interface SamplerEngineOptions {
  readonly sampler: Pick<Sampler, "context" | "tokenizer" | "generateTokens">;
  readonly modelId: string;
  readonly modelCreated: number;
  /** Undefined if the tokenizer has no control tokens for turns. */
  readonly chat: Chat | undefined;
  /** Maximum number of texts that the model generates together. */
  readonly batchRows: number;
}

/**
 * The model of a sampler for the server. Each call has one row, and calls in flight share the batch of the sampler: a row joins when a seat is
 * free, and does not wait for the end of the other rows.
 */
export class SamplerEngine implements GenerationEngine {
  readonly modelId: string;
  readonly modelCreated: number;
  readonly contextLength: number;
  readonly vocabSize: number;
  readonly maxBatchRows = 1;
  readonly maxConcurrentCalls: number;
  readonly maxTopLogprobs = 20;
  declare readonly encodeChat?: (messages: readonly ChatMessage[]) => readonly number[];
  readonly #sampler: SamplerEngineOptions["sampler"];
  readonly #tokenizer: TextTokenizer;
  readonly #chat: Chat | undefined;

  constructor({ sampler, modelId, modelCreated, chat, batchRows }: SamplerEngineOptions) {
    this.#sampler = sampler;
    this.#tokenizer = sampler.tokenizer;
    this.modelId = modelId;
    this.modelCreated = modelCreated;
    this.contextLength = sampler.context;
    this.vocabSize = sampler.tokenizer.vocabSize;
    this.maxConcurrentCalls = batchRows;
    this.#chat = chat;
    if (chat !== undefined)
      this.encodeChat = (messages) =>
        chat.encode(
          messages.map(({ role, content }) => ({ role: role === "assistant" ? "model" : role, content })),
          "messages",
        );
  }

  encodePrompt(text: string): readonly number[] {
    return promptIds(this.#tokenizer, text);
  }

  decodeStream(after: readonly number[]): TokenTextStream {
    return this.#tokenizer.decodeStream({}, after);
  }

  async generate(rows: readonly GenerationRow[]): Promise<void> {
    const ended = await Promise.allSettled(rows.map((row) => this.#generateRow(row)));
    for (const end of ended) if (end.status === "rejected") throw end.reason;
  }

  async #generateRow({ prompt, sampling, maxTokens, topLogprobs, signal, onToken, onEnd }: GenerationRow): Promise<void> {
    const { seed, ...rest } = sampling;
    try {
      const { stoppedBy } = await this.#sampler.generateTokens({
        prompt,
        tokens: maxTokens,
        sampling: rest,
        seed,
        stopTokens: this.#chat?.stopTokens(prompt),
        signal,
        onToken(id, logits) {
          // The server may abort the row while it receives the previous token.
          if (!signal.aborted) onToken(withLogprobs(id, logits, topLogprobs));
        },
      });
      if (!signal.aborted) onEnd(stoppedBy === "eos" ? "stop" : "length");
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

const withLogprobs = (id: number, logits: Float32Array, top: number | undefined): GeneratedToken =>
  top === undefined ? { id } : { id, ...tokenLogprobs(logits, id, top) };
