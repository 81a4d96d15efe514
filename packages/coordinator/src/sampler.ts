import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Tokenizer, tokenizerFromJSON } from "@lapidary/data";
import { HfCheckpoint } from "@lapidary/interop";
import { buildModel, type ModelConfig } from "@lapidary/models";
import { ExitCode, LapidaryError } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import { nextTokenLogits, paramName } from "@lapidary/training";
import { checkpointFiles } from "./execution/checkpoints.js";
import { generateSample, type SampleOptions } from "./execution/generate-sample.js";
import { NextToken } from "./execution/next-token.js";
import { openSession, type Session, type SessionOptions } from "./session.js";

export interface SamplerOptions extends Pick<SessionOptions, "environment" | "numerics" | "log"> {
  /** Directory of a checkpoint that a run has written. */
  readonly checkpoint: string;
  /** Tokens that the model shall see at once: prompt and answer. At most the model's context, which is the default; less is faster. */
  readonly context?: number;
}

/** A model that writes text, in worker processes of its own. */
export class Sampler {
  private constructor(
    readonly config: ModelConfig,
    readonly tokenizer: Tokenizer,
    private readonly session: Session,
    private readonly nextToken: NextToken,
  ) {}

  /** @throws LAP_CHECKPOINT_…, LAP_CHECKPOINT_TOKENIZER */
  static async open(options: SamplerOptions): Promise<Sampler> {
    const { checkpoint: directory, context, ...rest } = options;
    const tokenizer = readTokenizer(directory);
    const checkpoint = await HfCheckpoint.open(directory);
    try {
      const { config } = checkpoint;
      // One chip: a row of text has nothing to split that were worth a second process.
      const mesh = makeMesh({ data: 1 });
      const session = await openSession({ ...rest, mesh, workers: 1, rules: {}, zero: 0 });
      try {
        const seq = Math.min(context ?? config.contextLength, config.contextLength);
        const program = await session.gang.load(session.compile("next_token", nextTokenLogits(buildModel(config), { batch: 1, seq })));
        const weights = session.gang.parameters(program).filter(({ name }) => name.startsWith(paramName("")));
        for (const { name, sharding } of weights)
          await session.gang.put(name, await checkpoint.read(name.slice(paramName("").length)), sharding);
        return new Sampler(config, tokenizer, session, new NextToken(session.gang, program));
      } catch (error) {
        await session.close();
        throw error;
      }
    } finally {
      await checkpoint.close();
    }
  }

  /** Text that the model goes on with after the prompt. */
  generate(options: SampleOptions): Promise<string> {
    return generateSample(this.nextToken, this.tokenizer, options);
  }

  close(): Promise<void> {
    return this.session.close();
  }
}

export const openSampler = (options: SamplerOptions): Promise<Sampler> => Sampler.open(options);

/** The tokenizer that a run left beside its weights. */
export function readTokenizer(directory: string): Tokenizer {
  const path = join(directory, checkpointFiles.tokenizer);
  if (existsSync(path)) return tokenizerFromJSON(JSON.parse(readFileSync(path, "utf8")), path);
  throw new LapidaryError({
    code: "LAP_CHECKPOINT_TOKENIZER",
    message: `the directory has no ${checkpointFiles.tokenizer}`,
    place: directory,
    remedy: "sample from a checkpoint that a run of Lapidary has written; those of others need their own tokenizer",
    exit: ExitCode.usage,
  });
}
