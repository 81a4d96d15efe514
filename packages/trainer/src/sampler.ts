import { join } from "node:path";
import { readTokenizer, type TextTokenizer, tokenizerTooLarge } from "@lapidary/tokenizer";
import { HfCheckpoint } from "@lapidary/interop";
import { buildModel, type ModelConfig } from "@lapidary/models";
import { makeMesh } from "@lapidary/topology";
import { nextTokenLogits, paramName } from "@lapidary/training";
import { type GeneratedSample, generateSample, type SampleOptions } from "./execution/generate-sample.js";
import { NextToken } from "./execution/next-token.js";
import { openSession, type Session, type SessionOptions } from "./session.js";

export interface SamplerOptions extends Pick<SessionOptions, "environment" | "numerics" | "log"> {
  /** Directory of a checkpoint, of a run or of Hugging Face. */
  readonly checkpoint: string;
  /** The tokenizer of the checkpoint, if the caller has read it. */
  readonly tokenizer?: TextTokenizer;
  /**
   * Number of tokens that the model reads at once: prompt and answer. At most the context of the model, which is the default. Fewer are faster.
   */
  readonly context?: number;
}

/** A model that writes text, in its own worker processes. */
export class Sampler {
  private constructor(
    readonly config: ModelConfig,
    readonly tokenizer: TextTokenizer,
    private readonly session: Session,
    private readonly nextToken: NextToken,
  ) {}

  /** @throws LAP_CHECKPOINT_…, LAP_TOKENIZER_…, LAP_DATA_TOKENIZER */
  static async open(options: SamplerOptions): Promise<Sampler> {
    const { checkpoint: directory, context, tokenizer = readTokenizer(directory).tokenizer, ...rest } = options;
    const checkpoint = await HfCheckpoint.open(directory);
    try {
      const { config } = checkpoint;
      if (tokenizer.vocabSize > config.vocabSize)
        throw tokenizerTooLarge(join(directory, "config.json"), tokenizer.vocabSize, config.vocabSize);
      // One chip: a single row of text is too small for a second process.
      const mesh = makeMesh({ data: 1 });
      const session = await openSession({ ...rest, mesh, workers: 1, rules: {}, zero: 0 });
      try {
        const seq = Math.min(context ?? config.contextLength, config.contextLength);
        const program = await session.group.load(session.compile("next_token", nextTokenLogits(buildModel(config), { batch: 1, seq })));
        for (const { name } of checkpoint.params)
          await session.group.put(session.group.parameter(program, paramName(name)), await checkpoint.read(name));
        return new Sampler(config, tokenizer, session, new NextToken(session.group, program));
      } catch (error) {
        await session.close();
        throw error;
      }
    } finally {
      await checkpoint.close();
    }
  }

  /** Number of tokens that the model reads at once. */
  get context(): number {
    return this.nextToken.context;
  }

  /** Text that continues the prompt. */
  generate(options: SampleOptions): Promise<GeneratedSample> {
    return generateSample(this.nextToken, this.tokenizer, options);
  }

  close(): Promise<void> {
    return this.session.close();
  }
}

export const openSampler = (options: SamplerOptions): Promise<Sampler> => Sampler.open(options);

export { readTokenizer } from "@lapidary/tokenizer";
