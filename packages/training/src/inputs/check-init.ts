import { HfCheckpoint } from "@lapidary/interop";
import type { ModelConfig } from "@lapidary/models";
import type { Warning } from "@lapidary/std";
import { checkSameModel } from "./same-model.js";

/**
 * Checks the headers of the checkpoint that a job starts from, and that its model is the model of the job.
 *
 * @returns the warnings of the checkpoint
 * @throws LAP_CHECKPOINT_… for a damaged checkpoint; LAP_INIT_MISMATCH for another model
 */
export async function checkInit(directory: string, model: ModelConfig): Promise<readonly Warning[]> {
  const checkpoint = await HfCheckpoint.open(directory, "headers");
  try {
    checkSameModel(directory, model, checkpoint.config);
    return checkpoint.warnings;
  } finally {
    await checkpoint.close();
  }
}
