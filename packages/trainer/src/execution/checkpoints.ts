import { createHash } from "node:crypto";
import { join } from "node:path";
import { type ArrayData, HfCheckpoint, readLayers } from "@lapidary/interop";
import { buildModel, type ModelConfig, type PipelineShape } from "@lapidary/models";
import { LapidaryError, type Warning } from "@lapidary/std";
import { checkSameModel } from "@lapidary/training";
import type { CheckpointEntry } from "@lapidary/api";
import { readManifest, stepsIn, nodeDisk } from "@lapidary/checkpoint";

/**
 * A checkpoint is a directory that transformers loads, with the files that training needs to continue:
 *
 *     step-100/  model.safetensors  config.json                    weights, by Hugging Face name
 *                tokenizer.json  tokenizer_config.json  …          for transformers
 *                lapidary_tokenizer.json                           the tokenizer in our format, if we trained it
 *                optimizer.safetensors                             moments, `adam_m/…`, `adam_v/…`
 *                train_state.json                                  step, losses
 *                manifest.json                                     all files with checksums; written last
 */
export const checkpointFiles = {
  optimizer: "optimizer.safetensors",
  state: "train_state.json",
} as const;

/** Checkpoints of a run with a valid manifest, oldest first. Their tensors are not read. */
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
    // It is damaged, or another process is removing it: not a checkpoint.
    if (error instanceof LapidaryError || (error as NodeJS.ErrnoException).syscall !== undefined) return undefined;
    throw error;
  }
}

/** SHA-256 of the weights of a Hugging Face checkpoint, as f32 in the order of the model. */
export async function digestOfWeights(directory: string): Promise<string> {
  const checkpoint = await HfCheckpoint.open(directory);
  try {
    const hash = createHash("sha256");
    for (const { name } of checkpoint.params) {
      const { data } = await checkpoint.read(name);
      hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
    return hash.digest("hex");
  } finally {
    await checkpoint.close();
  }
}

/**
 * Loads the weights of a Hugging Face checkpoint into a run, array by array. The optimizer starts with its first state.
 *
 * @param pipeline the stages of the run, whose weights are stacks
 * @returns the warnings of the checkpoint
 * @throws LAP_CHECKPOINT_NOT_FINITE for weights that are not finite; LAP_CHECKPOINT_… for other damage; LAP_INIT_MISMATCH for another model
 */
export async function loadWeights(
  directory: string,
  config: ModelConfig,
  put: (name: string, array: ArrayData) => Promise<void>,
  pipeline?: PipelineShape,
): Promise<readonly Warning[]> {
  const checkpoint = await HfCheckpoint.open(directory);
  try {
    checkSameModel(directory, config, checkpoint.config);
    for (const spec of buildModel(config, { pipeline }).params)
      await put(spec.name, await readLayers(spec, (name) => checkpoint.read(name)));
    return checkpoint.warnings;
  } finally {
    await checkpoint.close();
  }
}
