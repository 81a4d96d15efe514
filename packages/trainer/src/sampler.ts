import { join } from "node:path";
import { readTokenizer, type TextTokenizer, tokenizerTooLarge } from "@lapidary/tokenizer";
import type { ModelConfig } from "@lapidary/models";
import type { LapidaryError } from "@lapidary/std";
import type { Generated } from "@lapidary/training";
import {
  type GeneratedSample,
  generateSample,
  generateTokens,
  type NextLogits,
  type SampleOptions,
  type TokenOptions,
} from "./execution/generate-sample.js";
import type { GenerationBatch } from "./generation/generation-batch.js";
import { openGeneration } from "./generation/open-generation.js";
import type { Session, SessionOptions } from "./session.js";

export interface SamplerOptions extends Pick<SessionOptions, "environment" | "numerics" | "log"> {
  /** Directory of a checkpoint, of a run or of Hugging Face. */
  readonly checkpoint: string;
  /** The tokenizer of the checkpoint, if the caller has read it. */
  readonly tokenizer?: TextTokenizer;
  /**
   * Maximum number of tokens that the model reads: prompt and answer. At most the context of the model, which is the default. A cache of fewer
   * tokens needs less memory.
   */
  readonly context?: number;
  /** The first batch, whose programs are compiled before the weights are read. */
  readonly first?: { readonly rows: number; readonly promptTokens: number };
  /** Stops the reading of the weights. */
  readonly signal?: AbortSignal;
}

export interface ManyOptions extends Omit<SampleOptions, "prompt" | "onText"> {
  readonly prompts: readonly SampleOptions["prompt"][];
  /** Maximum number of texts that one batch generates together. Default 8. */
  readonly batchRows?: number;
  /** Called with each new part of a text. */
  readonly onText?: (text: string, row: number) => void;
}

/** Texts that a batch generates together by default: many enough to share the cost of reading the weights. */
export const defaultBatchRows = 8;

/** A model that writes text, in its own worker processes. */
export class Sampler {
  private constructor(
    readonly config: ModelConfig,
    readonly tokenizer: TextTokenizer,
    private readonly session: Session,
    private readonly batch: GenerationBatch,
  ) {}

  /** @throws LAP_CHECKPOINT_…, LAP_TOKENIZER_…, LAP_DATA_TOKENIZER */
  static async open(options: SamplerOptions): Promise<Sampler> {
    const { first, tokenizer = readTokenizer(options.checkpoint).tokenizer, ...rest } = options;
    const { config, session, batch } = await openGeneration({
      ...rest,
      first: first ?? { promptTokens: 1 },
      check: ({ vocabSize }) => {
        if (tokenizer.vocabSize > vocabSize)
          throw tokenizerTooLarge(join(options.checkpoint, "config.json"), tokenizer.vocabSize, vocabSize);
      },
    });
    return new Sampler(config, tokenizer, session, batch);
  }

  /** Maximum number of tokens that the model reads. */
  get context(): number {
    return this.batch.context;
  }

  /** Settles, and never rejects, when the worker process has failed. */
  get failed(): Promise<LapidaryError> {
    return this.session.group.failed;
  }

  /** Text that continues the prompt. Calls in flight share a batch. */
  generate(options: SampleOptions): Promise<GeneratedSample> {
    return this.seated((seat) => generateSample(seat, this.tokenizer, options));
  }

  /** Tokens that continue the prompt. Calls in flight share a batch. */
  generateTokens(options: TokenOptions): Promise<Generated> {
    return this.seated((seat) => generateTokens(seat, this.tokenizer, options));
  }

  /** Text that continues each prompt. The text of row r has the seed `seed + r`, and does not depend on the other rows. */
  async generateMany({ prompts, seed, batchRows = defaultBatchRows, onText, ...rest }: ManyOptions): Promise<readonly GeneratedSample[]> {
    const samples: GeneratedSample[] = [];
    for (let from = 0; from < prompts.length; from += batchRows)
      samples.push(
        ...(await settled(
          prompts.slice(from, from + batchRows).map((prompt, i) => {
            const row = from + i;
            return this.generate({ ...rest, prompt, seed: seed + row, onText: (text) => onText?.(text, row) });
          }),
        )),
      );
    return samples;
  }

  /** Runs a function that requests logits. Calls in flight share a batch. */
  async seated<T>(run: (next: NextLogits) => Promise<T>): Promise<T> {
    const seat = this.batch.join();
    try {
      return await run(seat);
    } finally {
      seat.leave();
    }
  }

  close(): Promise<void> {
    return this.session.close();
  }
}

/** The values of all promises, after every promise has settled. @throws the first failure */
async function settled<T>(promises: readonly Promise<T>[]): Promise<readonly T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

export const openSampler = (options: SamplerOptions): Promise<Sampler> => Sampler.open(options);

export { readTokenizer } from "@lapidary/tokenizer";
