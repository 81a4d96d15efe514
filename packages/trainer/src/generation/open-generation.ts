import { HfCheckpoint } from "@lapidary/interop";
import { buildModel, type Model, type ModelConfig } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import { paramName } from "@lapidary/training";
import { openSession, type Session, type SessionOptions } from "../session.js";
import { GenerationBatch } from "./generation-batch.js";

export interface OpenGenerationOptions extends Pick<SessionOptions, "environment" | "numerics" | "log" | "pool"> {
  /** Directory of a checkpoint, of a run or of Hugging Face. */
  readonly checkpoint: string;
  /** Maximum number of tokens that the model reads. The context of the model by default, and at most. */
  readonly context?: number | undefined;
  /** The first batch, whose programs are compiled before the weights are read. */
  readonly first: { readonly rows?: number; readonly promptTokens: number };
  /** Stops the reading of the weights. */
  readonly signal?: AbortSignal | undefined;
  /** Throws if the model does not fit its use. Called before a worker starts. */
  readonly check?: (config: ModelConfig) => void;
}

/** The weights of a checkpoint on a worker process of its own, and a batch that generates with them. */
export interface OpenedGeneration {
  readonly config: ModelConfig;
  readonly model: Model;
  readonly session: Session;
  readonly batch: GenerationBatch;
}

/** @throws LAP_CHECKPOINT_…, and what `check` throws */
export async function openGeneration(options: OpenGenerationOptions): Promise<OpenedGeneration> {
  const { checkpoint: directory, context, first, signal, check, ...rest } = options;
  const checkpoint = await HfCheckpoint.open(directory);
  try {
    const { config } = checkpoint;
    check?.(config);
    // One chip: a batch of text is too small for a second process.
    const session = await openSession({ ...rest, mesh: makeMesh({ data: 1 }), workers: 1, rules: {}, zero: 0 });
    try {
      const model = buildModel(config);
      const batch = new GenerationBatch(session, model, Math.min(context ?? config.contextLength, config.contextLength));
      const weights = new Map((await batch.weights(first.promptTokens, first.rows)).map((tensor) => [String(tensor.id), tensor]));
      for (const { name } of checkpoint.params) {
        signal?.throwIfAborted();
        await session.group.put(ensure(weights.get(paramName(name)), `weight ${name}`), await checkpoint.read(name));
      }
      return { config, model, session, batch };
    } catch (error) {
      await session.close();
      throw error;
    }
  } finally {
    await checkpoint.close();
  }
}
