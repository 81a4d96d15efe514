import { isDeepStrictEqual } from "node:util";
import type { ModelConfig } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import { type ModelFile, modelFileOf } from "../job/model-file.js";

/** The keys of `model` that determine the meaning of weights. The context length may differ, because no weight depends on it. */
const weightKeys = [
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
  "tied",
  "query_scalar",
  "attention_cap",
  "logit_cap",
  "window",
  "layer_types",
  "rope_scaling",
  "window_rope",
  "fused_projections",
  "experts",
] as const satisfies readonly (keyof ModelFile)[];

/** @throws LAP_INIT_MISMATCH naming each key of `model` that differs */
export function checkSameModel(directory: string, wanted: ModelConfig, found: ModelConfig): void {
  const [job, checkpoint] = [modelFileOf("", wanted), modelFileOf("", found)];
  const different = weightKeys.filter((key) => !isDeepStrictEqual(job[key], checkpoint[key]));
  if (different.length === 0) return;
  const list = different.map((key) => `model.${key} is ${show(checkpoint[key])} in the checkpoint and ${show(job[key])} in the job`);
  throw new LapidaryError({
    code: "LAP_INIT_MISMATCH",
    message: `the checkpoint has another model: ${list.join(", ")}`,
    location: directory,
    remedy: `set ${different.map((key) => `model.${key}`).join(", ")} to the values of the checkpoint, or name another checkpoint in train.init`,
  });
}

const show = (value: unknown): string =>
  value === undefined ? "not set" : typeof value === "object" ? JSON.stringify(value) : String(value);
