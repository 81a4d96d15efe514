import { HfCheckpoint } from "@lapidary/interop";
import type { ModelConfig } from "@lapidary/models";
import { LapidaryError, type Warning } from "@lapidary/std";
import { type ModelFile, modelFileOf } from "../job/model-file.js";

/**
 * Checks the headers of a checkpoint that a job starts from, and that it is of the job's model.
 *
 * @returns the warnings of the checkpoint
 * @throws LAP_CHECKPOINT_… whatever is wrong with it; LAP_INIT_MISMATCH when it is of another model
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

/** The keys of `model` of a job file that decide what its weights mean. The context may be another: no weight depends on it. */
const decisive = [
  "family",
  "vocab_size",
  "model_dim",
  "layers",
  "heads",
  "kv_heads",
  "head_dim",
  "mlp_dim",
  "rope_theta",
  "norm_eps",
  "fused_projections",
] as const satisfies readonly (keyof ModelFile)[];

/** @throws LAP_INIT_MISMATCH naming each key of `model` that differs */
export function checkSameModel(directory: string, wanted: ModelConfig, found: ModelConfig): void {
  const [job, checkpoint] = [modelFileOf("", wanted), modelFileOf("", found)];
  const different = decisive.filter((key) => job[key] !== checkpoint[key]);
  if (different.length === 0) return;
  const list = different.map(
    (key) => `model.${key} is ${checkpoint[key] ?? "not set"} in the checkpoint and ${job[key] ?? "not set"} in the job`,
  );
  throw new LapidaryError({
    code: "LAP_INIT_MISMATCH",
    message: `the checkpoint is of another model: ${list.join(", ")}`,
    place: directory,
    remedy: `set ${different.map((key) => `model.${key}`).join(", ")} as the checkpoint has it, or name another checkpoint in train.init`,
  });
}
