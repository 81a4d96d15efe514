import type { Model, ModelConfig } from "@lapidary/models";
import { type Handle, handleOf, stepIndex } from "@lapidary/protocol";
import { assert, ensure, seededRandom } from "@lapidary/std";
import { evalStep, generate, type Sampling } from "@lapidary/training";
import type { Session, SessionOptions } from "../session.js";
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

/** Sequences that the workers compute at once. */
const rowsPerBatch = 16;

const ids = { tokens: handleOf("loss/tokens"), targets: handleOf("loss/targets"), mask: handleOf("loss/mask") } as const;

/** A checkpoint on a worker group of its own that continues prompts in batches and measures losses. It knows ids only. */
export class TokenModel {
  readonly #session: Session;
  readonly #model: Model;
  readonly #batch: GenerationBatch;

  private constructor(
    readonly config: ModelConfig,
    session: Session,
    model: Model,
    batch: GenerationBatch,
  ) {
    this.#session = session;
    this.#model = model;
    this.#batch = batch;
  }

  /** @throws LAP_CHECKPOINT_… */
  static async open(options: TokenModelOptions): Promise<TokenModel> {
    const { config, session, model, batch } = await openGeneration({ ...options, first: { promptTokens: 16 } });
    return new TokenModel(config, session, model, batch);
  }

  /** Number of tokens that the model reads at once. */
  get context(): number {
    return this.config.contextLength;
  }

  /** One answer to each prompt, in the order of the prompts. */
  async answers(prompts: readonly TokenPrompt[], options: AnswerOptions): Promise<readonly TokenAnswer[]> {
    const { sampling, vocabSize, stopTokens, forbiddenTokens, signal, onAnswered } = options;
    let complete = 0;
    return this.#inBatches(prompts, async ({ ids: prompt, seed, maxTokens }, seat) => {
      assert(prompt.length + maxTokens <= this.context + 1, "the answer fits the context", prompt.length, maxTokens);
      const { tokens, stoppedBy } = await generate(async (text) => (await seat.logits(text)).subarray(0, vocabSize), {
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
      return { ids: tokens, isCutOff: stoppedBy === "length" };
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
    let total: LossSum = { sum: 0, tokens: 0 };
    for (const chunk of chunksOf(byLength(documents), rowsPerBatch)) {
      signal?.throwIfAborted();
      const { sum, tokens } = await this.#lossOf(chunk.map(({ item }) => item));
      total = { sum: total.sum + sum, tokens: total.tokens + tokens };
    }
    return total;
  }

  async #lossOf(documents: readonly MaskedDocument[]): Promise<LossSum> {
    const { group } = this.#session;
    const longest = Math.max(...documents.map((document) => document.ids.length));
    assert(longest <= this.context, "a document fits the context", longest);
    const [batch, seq] = [powerOfTwo(documents.length), Math.min(this.context, powerOfTwo(longest))];
    const program = this.#session.compile(`loss ${batch}x${seq}`, evalStep(this.#model, { batch, seq }));
    const hash = await group.load(program);
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
      outputs: new Map(),
      scalars: ["loss_sum", "tokens_counted"],
      donate: Object.values(ids),
    });
    const dims = [batch, seq];
    const puts = [
      group.put({ ...group.parameter(hash, "tokens"), id: ids.tokens }, { dtype: "i32", dims, data: tokens }),
      group.put({ ...group.parameter(hash, "targets"), id: ids.targets }, { dtype: "i32", dims, data: targets }),
      group.put({ ...group.parameter(hash, "mask"), id: ids.mask }, { dtype: "f32", dims, data: mask }),
    ];
    const [{ scalars }] = await Promise.all([group.run(bound, { step: stepIndex(0) }), ...puts]);
    return {
      sum: ensure(scalars.get("loss_sum"), "loss"),
      tokens: ensure(scalars.get("tokens_counted"), "number of targets"),
    };
  }

  /** Gives each item a seat of the batch. Items of similar length share a batch, so that few rows are padding. */
  async #inBatches<T extends { readonly ids: ArrayLike<number> }, R>(
    items: readonly T[],
    work: (item: T, seat: GenerationSeat) => Promise<R>,
  ): Promise<readonly R[]> {
    const results: R[] = [];
    for (const chunk of chunksOf(byLength(items), rowsPerBatch)) {
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
    return this.#session.close();
  }
}

export const openTokenModel = (options: TokenModelOptions): Promise<TokenModel> => TokenModel.open(options);

const byLength = <T extends { readonly ids: ArrayLike<number> }>(items: readonly T[]): readonly { item: T; index: number }[] =>
  items.map((item, index) => ({ item, index })).sort((a, b) => a.item.ids.length - b.item.ids.length || a.index - b.index);

const chunksOf = <T>(items: readonly T[], size: number): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
