import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { HfCheckpoint, modelConfigFromHf } from "@lapidary/interop";
import type { ModelConfig } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";

/**
 * The model of the checkpoint of a frozen parameter set, which may be another model than that of the job.
 *
 * @throws LAP_CHECKPOINT_… if there is no checkpoint, or if it is damaged
 */
export function modelOfSet(directory: string): ModelConfig {
  const file = join(directory, "config.json");
  if (!existsSync(file))
    throw new LapidaryError({
      code: "LAP_CHECKPOINT_MISSING",
      message: "no checkpoint found for a parameter set",
      location: directory,
      remedy: "name a run or the directory of a checkpoint in sets",
    });
  return modelConfigFromHf(JSON.parse(readFileSync(file, "utf8")), file);
}

/**
 * Checks the headers of the checkpoint of a frozen parameter set.
 *
 * @throws LAP_CHECKPOINT_… for a damaged checkpoint; LAP_INIT_MISMATCH for another vocabulary
 */
export async function checkParameterSet(directory: string, model: ModelConfig): Promise<void> {
  const checkpoint = await HfCheckpoint.open(directory, "headers");
  try {
    const { vocabSize } = checkpoint.config;
    if (vocabSize !== model.vocabSize)
      throw new LapidaryError({
        code: "LAP_INIT_MISMATCH",
        message: `the model of the parameter set has ${vocabSize} ids, and the model of the job has ${model.vocabSize}`,
        location: directory,
        remedy: "name a checkpoint with the vocabulary of the job",
      });
  } finally {
    await checkpoint.close();
  }
}
