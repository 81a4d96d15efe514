import { existsSync } from "node:fs";
import { join } from "node:path";
import { readAdapterHead, SafetensorsFile } from "@lapidary/interop";
import { LapidaryError } from "@lapidary/std";

/**
 * Checks the header of a reward model that a job of rl names.
 *
 * @throws LAP_CHECKPOINT_MISSING if there is none; LAP_CHECKPOINT_STATE for a model without `score.weight`
 */
export async function checkRewardModel(directory: string): Promise<void> {
  const remedy = "name a run of the recipe reward, or the directory of its checkpoint";
  if ((await readAdapterHead(directory)) !== undefined) return;
  const adapter = join(directory, "adapter_model.safetensors");
  const path = existsSync(adapter) ? adapter : join(directory, "model.safetensors");
  if (!existsSync(path))
    throw new LapidaryError({ code: "LAP_CHECKPOINT_MISSING", message: "no reward model found", location: directory, remedy });
  const file = await SafetensorsFile.open(path);
  try {
    if (!file.names.includes("score.weight"))
      throw new LapidaryError({
        code: "LAP_CHECKPOINT_STATE",
        message: "the checkpoint is not a reward model: it lacks score.weight",
        location: directory,
        remedy,
      });
  } finally {
    await file.close();
  }
}
