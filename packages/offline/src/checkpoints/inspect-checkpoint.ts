import { HfCheckpoint } from "@lapidary/interop";
import { buildModel, type ModelConfig, parameterCount, traitsOf } from "@lapidary/models";
import type { Warning } from "@lapidary/std";
import type { CheckpointLocation } from "./resolve-checkpoint.js";

/** The dimensions of a model that a person reads. */
interface ModelSize
  extends Pick<ModelConfig, "layers" | "modelDim" | "heads" | "kvHeads" | "headDim" | "mlpDim" | "vocabSize" | "contextLength"> {}

export interface CheckpointContents {
  readonly config: ModelSize;
  /** The family of the model. */
  readonly architecture: string;
  readonly parameters: number;
  readonly tensors: readonly { readonly name: string; readonly dims: readonly number[]; readonly parameters: number }[];
  /** Tensors that repeat another tensor. */
  readonly redundant: readonly string[];
  /** Files with weights that the checkpoint does not use. */
  readonly notRead: readonly string[];
  readonly warnings: readonly Warning[];
}

/** Reads the tensors of a checkpoint from its headers. Of a redundant tensor, only the beginning is compared. */
export async function inspectCheckpoint(
  { directory }: CheckpointLocation,
  onWarning: (warning: Warning) => void,
): Promise<CheckpointContents> {
  const checkpoint = await HfCheckpoint.open(directory, "headers");
  try {
    const { config, params, redundant, warnings } = checkpoint;
    warnings.forEach(onWarning);
    return {
      config,
      architecture: traitsOf(config).label,
      parameters: parameterCount(buildModel(config)),
      tensors: params.map(({ name, dims }) => ({ name, dims, parameters: dims.reduce((a, b) => a * b, 1) })),
      redundant,
      notRead: await checkpoint.unreadWeightFiles(),
      warnings,
    };
  } finally {
    await checkpoint.close();
  }
}
