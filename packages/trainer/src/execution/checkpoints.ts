import { join } from "node:path";
import { type ArrayData, HfCheckpoint } from "@lapidary/interop";
import type { ModelConfig } from "@lapidary/models";
import { LapidaryError, type Warning } from "@lapidary/std";
import { checkSameModel } from "@lapidary/training";
import type { CheckpointEntry } from "@lapidary/api";
import { readManifest, stepsIn, nodeDisk } from "@lapidary/checkpoint";

/**
 * A checkpoint is a directory that transformers loads, and what training needs to continue from it besides:
 *
 *     step-100/  model.safetensors  config.json                    weights, by Hugging Face name
 *                tokenizer.json  tokenizer_config.json  …          for transformers
 *                lapidary_tokenizer.json                           the tokenizer as we keep it, if we trained it
 *                optimizer.safetensors                             moments, `adam_m/…`, `adam_v/…`
 *                train_state.json                                  step, losses
 *                manifest.json                                     what all of it is, with checksums; written last
 */
export const checkpointFiles = {
  optimizer: "optimizer.safetensors",
  state: "train_state.json",
} as const;

/** Checkpoints of a run that have a manifest which fits, oldest first. Their numbers are not read. */
export async function listCheckpoints(directory: string): Promise<CheckpointEntry[]> {
  const steps = stepsIn(await nodeDisk.list(directory));
  const entries = await Promise.all(steps.map((step) => readEntry(join(directory, `step-${step}`))));
  return entries.filter((entry) => entry !== undefined);
}

async function readEntry(path: string): Promise<CheckpointEntry | undefined> {
  try {
    const { step, time, heldout_loss, files } = await readManifest(nodeDisk, path);
    const bytes = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);
    return { step, path, time, bytes, ...(heldout_loss === undefined ? {} : { heldout_loss }) };
  } catch (error) {
    // Being removed just now, or damaged: no checkpoint.
    if (error instanceof LapidaryError || (error as NodeJS.ErrnoException).syscall !== undefined) return undefined;
    throw error;
  }
}

/**
 * Gives a run the weights of a Hugging Face checkpoint, array by array. Its optimizer starts anew.
 *
 * @returns the warnings of the checkpoint
 * @throws LAP_CHECKPOINT_NOT_FINITE for weights that are not finite; LAP_CHECKPOINT_… whatever is wrong with it; LAP_INIT_MISMATCH when it is of another model
 */
export async function loadWeights(
  directory: string,
  config: ModelConfig,
  put: (name: string, array: ArrayData) => Promise<void>,
): Promise<readonly Warning[]> {
  const checkpoint = await HfCheckpoint.open(directory);
  try {
    checkSameModel(directory, config, checkpoint.config);
    for (const { name } of checkpoint.params) await put(name, await checkpoint.read(name));
    return checkpoint.warnings;
  } finally {
    await checkpoint.close();
  }
}
