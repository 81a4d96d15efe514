import { join } from "node:path";
import { type ArrayData, readHfConfig, SafetensorsFile } from "@lapidary/interop";
import { buildModel, type ModelConfig } from "@lapidary/models";
import { scoreParams } from "@lapidary/post-training";
import { LapidaryError } from "@lapidary/std";
import { checkSameModel } from "@lapidary/training";

/**
 * Reads the weights of a reward model: those of the trunk, and `score.weight`.
 *
 * @throws LAP_CHECKPOINT_STATE for a checkpoint without `score.weight`; LAP_INIT_MISMATCH for another model
 */
export async function readRewardModel(directory: string, config: ModelConfig): Promise<ReadonlyMap<string, ArrayData>> {
  checkSameModel(directory, config, await readHfConfig(join(directory, "config.json")));
  const file = await SafetensorsFile.open(join(directory, "model.safetensors"));
  try {
    const weights = new Map<string, ArrayData>();
    for (const { name } of scoreParams(buildModel(config))) {
      if (!file.names.includes(name))
        throw new LapidaryError({
          code: "LAP_CHECKPOINT_STATE",
          message: `the checkpoint is not a reward model: it lacks ${name}`,
          location: directory,
          remedy: "name a run of the recipe reward in reward",
        });
      weights.set(name, await file.read(name));
    }
    return weights;
  } finally {
    await file.close();
  }
}
