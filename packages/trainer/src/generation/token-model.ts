import type { Model, ModelConfig } from "@lapidary/models";
import { type Handle, handleOf, stepIndex } from "@lapidary/protocol";
import { assert, ensure, seededRandom } from "@lapidary/std";
import { generate, type Sampling } from "@lapidary/training";
import { logProbs } from "@lapidary/post-training";
import type { TokenHost } from "../rl/program-host.js";
import type { SessionOptions } from "../session.js";
import { chunksByLength } from "./chunks.js";
import { type GenerationBatch, type GenerationSeat, powerOfTwo } from "./generation-batch.js";
import { openGeneration } from "./open-generation.js";

export interface TokenModelOptions extends Pick<SessionOptions, "environment" | "numerics" | "log" | "pool"> {
  /** Directory of a checkpoint, of a run or of Hugging Face. */
  readonly checkpoint: string;
}

/** A prompt to continue. The answer depends on the tokens and the seed, not on the other prompts of the call. */
export interface TokenPrompt {
  readonly ids: readonly number[];
  readonly seed: number;
  /** At most `context + 1 − ids.length`. */
  readonly maxTokens: number;
}

export interface TokenAnswer {
  /** Without the prompt and without the token that ended the answer. */
  readonly ids: readonly number[];
  /** Whether the answer reached `maxTokens` before a token ended it. */
  readonly isCutOff: boolean;
  /** The token that ended the answer. */
  readonly end?: number;
}

export interface AnswerOptions {
  readonly sampling: Sampling;
  /** Ids of the vocabulary of the tokenizer. The embedding may have more rows. */
  readonly vocabSize: number;
  /** Tokens that end an answer. */
  readonly stopTokens: readonly number[];
  /** Ids that are never drawn. */
  readonly forbiddenTokens: readonly number[];
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of complete answers so far. */
  readonly onAnswered?: (complete: number) => void;
}

/** Ids of a document, and 1 for each id that is a target; the first id is never a target. */
export interface MaskedDocument {
  readonly ids: ArrayLike<number>;
  readonly mask: ArrayLike<number>;
}

/** Sums over documents, so that sums of several calls can be added. */
export interface LossSum {
  /** Nats. */
  readonly sum: number;
  readonly tokens: number;
}

/** Sequences that the workers compute at once, if a user does not set the number. */
const defaultRows = 16;

const ids = {
  tokens: handleOf("logprobs/tokens"),
  targets: handleOf("logprobs/targets"),
  mask: handleOf("logprobs/mask"),
  logps: handleOf("logprobs/logps"),
} as const;

/** The sizes of the programs of a host that has programs of no other size. */
export interface TokenShape {
  readonly rows: number;
  /** Tokens of a prompt at most. */
  readonly prompt: number;
  /** Tokens of a prompt and its answer at most. */
  readonly seq: number;
}

/** A model whose weights are on the workers of a host under the names of the programs' parameters. */
export interface LoadedTokens {
  readonly config: ModelConfig;
  readonly model: Model;
  readonly host: TokenHost;
  readonly batch: GenerationBatch;
  readonly shape?: TokenShape | undefined;
  readonly close: () => Promise<void>;
}

/** A checkpoint on a worker group that continues prompts in batches and measures losses. It knows ids only. */
export class TokenModel {
  readonly config: ModelConfig;
  readonly #host: TokenHost;
  readonly #model: Model;
  readonly #batch: GenerationBatch;
  readonly #shape: TokenShape | undefined;
  readonly #close: () => Promise<void>;

  constructor({ config, host, model, batch, shape, close }: LoadedTokens) {
    this.config = config;
    this.#host = host;
    this.#model = model;
    this.#batch = batch;
    this.#shape = shape;
    this.#close = close;
  }

  /**
   * A checkpoint on a worker group of its own.
   *
   * @throws LAP_CHECKPOINT_…
   */
  static async open(options: TokenModelOptions): Promise<TokenModel> {
    const { config, session, model, batch } = await openGeneration({ ...options, first: { promptTokens: 16 } });
    return new TokenModel({ config, model, host: session, batch, close: () => session.close() });
  }

  get #rows(): number {
    return this.#shape?.rows ?? defaultRows;
  }

  /** Number of tokens that the model reads at once. */
  get context(): number {
    return this.#batch.context;
  }

  /** One answer to each prompt, in the order of the prompts. */
  async answers(prompts: readonly TokenPrompt[], options: AnswerOptions): Promise<readonly TokenAnswer[]> {
    const { sampling, vocabSize, stopTokens, forbiddenTokens, signal, onAnswered } = options;
    let complete = 0;
    return this.#inBatches(prompts, async ({ ids: prompt, seed, maxTokens }, seat) => {
      assert(prompt.length + maxTokens <= this.context + 1, "the answer fits the context", prompt.length, maxTokens);
      const { tokens, stoppedBy, end } = await generate(async (text) => (await seat.logits(text)).subarray(0, vocabSize), {
        prompt,
        maxTokens,
        contextLength: this.context,
        sampling,
        random: seededRandom(seed),
        stopTokens,
        forbiddenTokens,
        ...(signal === undefined ? {} : { signal }),
      });
      onAnswered?.(++complete);
      return { ids: tokens, isCutOff: stoppedBy === "length", ...(end === undefined ? {} : { end }) };
    });
  }

  /** Logits [V] of the token after each prompt, in the order of the prompts. */
  async nextLogits(
    prompts: readonly (readonly number[])[],
    { signal, onAnswered }: Pick<AnswerOptions, "signal" | "onAnswered"> = {},
  ): Promise<readonly Float32Array[]> {
    let complete = 0;
    return this.#inBatches(
      prompts.map((prompt) => ({ ids: prompt })),
      async ({ ids: prompt }, seat) => {
        signal?.throwIfAborted();
        const logits = await seat.logits(prompt);
        onAnswered?.(++complete);
        return logits;
      },
    );
  }

  /** The loss of the targets of all documents. Each document is a row of its own. */
  async loss(documents: readonly MaskedDocument[], signal?: AbortSignal): Promise<LossSum> {
    return lossOf(documents, await this.logProbs(documents, signal));
  }

  /** The log-probability of the targets of each document, nats, in the order of the documents. Each document is a row of its own. */
  async logProbs(documents: readonly MaskedDocument[], signal?: AbortSignal): Promise<readonly number[]> {
    const sums: number[] = [];
    for (const chunk of chunksByLength(documents, this.#rows, lengthOf)) {
      signal?.throwIfAborted();
      const own = await this.#logProbsOf(chunk.map(({ item }) => item));
      chunk.forEach(({ index }, row) => {
        sums[index] = ensure(own[row], "log-probability");
      });
    }
    return sums;
  }

  async #logProbsOf(documents: readonly MaskedDocument[]): Promise<readonly number[]> {
    const { group } = this.#host;
    const longest = Math.max(...documents.map((document) => document.ids.length));
    assert(longest <= this.context, "a document fits the context", longest);
    const { rows: batch, seq } = this.#shape ?? { rows: powerOfTwo(documents.length), seq: Math.min(this.context, powerOfTwo(longest)) };
    const shape = { batch, seq, segments: false };
    const hash = await this.#host.load(`logprobs ${batch}x${seq}`, () => logProbs(this.#model, shape, { temperature: 1 }));
    const [tokens, targets, mask] = [new Int32Array(batch * seq), new Int32Array(batch * seq), new Float32Array(batch * seq)];
    // The token at position i predicts the token at i + 1.
    documents.forEach((document, row) => {
      for (let i = 0; i < document.ids.length; i++) {
        tokens[row * seq + i] = document.ids[i] ?? 0;
        if (i === 0) continue;
        targets[row * seq + i - 1] = document.ids[i] ?? 0;
        mask[row * seq + i - 1] = document.mask[i] ?? 0;
      }
    });
    const inputs = new Map<string, Handle>(group.parameters(hash).map(({ id }) => [id, id]));
    const bound = group.bind(hash, {
      inputs: inputs.set("tokens", ids.tokens).set("targets", ids.targets).set("mask", ids.mask),
      outputs: new Map([["logps", ids.logps]]),
      donate: [ids.tokens, ids.targets, ids.mask],
    });
    const dims = [batch, seq];
    const puts = [
      group.put({ ...group.parameter(hash, "tokens"), id: ids.tokens }, { dtype: "i32", dims, data: tokens }),
      group.put({ ...group.parameter(hash, "targets"), id: ids.targets }, { dtype: "i32", dims, data: targets }),
      group.put({ ...group.parameter(hash, "mask"), id: ids.mask }, { dtype: "f32", dims, data: mask }),
    ];
    const ran = group.run(bound, { step: stepIndex(0) });
    const fetched = group.fetch(ids.logps);
    await Promise.all([...puts, ran, fetched, group.drop([ids.logps])]);
    const { data } = await fetched;
    return documents.map((_, row) => Array.from(data.subarray(row * seq, (row + 1) * seq)).reduce((sum, each) => sum + each, 0));
  }

  /** Gives each item a seat of the batch. Items of similar length share a batch, so that few rows are padding. */
  async #inBatches<T extends { readonly ids: ArrayLike<number> }, R>(
    items: readonly T[],
    work: (item: T, seat: GenerationSeat) => Promise<R>,
  ): Promise<readonly R[]> {
    const results: R[] = [];
    for (const chunk of chunksByLength(items, this.#rows, lengthOf)) {
      // All sequences join before the first asks, so that the first step computes all of them.
      const seated = chunk.map(({ item, index }) => ({ item, index, seat: this.#batch.join() }));
      const settled = await Promise.allSettled(
        seated.map(async ({ item, index, seat }) => {
          try {
            results[index] = await work(item, seat);
          } finally {
            seat.leave();
          }
        }),
      );
      for (const outcome of settled) if (outcome.status === "rejected") throw outcome.reason;
    }
    return results;
  }

  /** When this resolves, no worker process of this model is left except those of a given pool. */
  close(): Promise<void> {
    return this.#close();
  }
}

export const openTokenModel = (options: TokenModelOptions): Promise<TokenModel> => TokenModel.open(options);

const lengthOf = ({ ids }: { readonly ids: ArrayLike<number> }): number => ids.length;

/** The loss of documents, of which `logProbs` has the log-probability of the targets of each. */
export const lossOf = (documents: readonly MaskedDocument[], logProbs: readonly number[]): LossSum => ({
  sum: -logProbs.reduce((sum, each) => sum + each, 0),
  tokens: documents.reduce((sum, { mask }) => sum + Array.from(mask).reduce((count, each) => count + (each > 0 ? 1 : 0), 0), 0),
});
