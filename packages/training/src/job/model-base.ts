import { z } from "zod";
import { type ConfigSource, isRecord } from "./config-source.js";
import type { ModelFile } from "./model-file.js";

/** A model as a change of another. */
export const modelChangeSchema = z.looseObject({
  base: z
    .string()
    .min(1)
    .describe("Name of a file of configs/models, a path, or the directory of a Hugging Face checkpoint. Further keys change it"),
});
type ModelChange = z.infer<typeof modelChangeSchema>;

export const isModelChange = (model: string | ModelFile | ModelChange): model is ModelChange =>
  typeof model !== "string" && "base" in model;

/** An override of a key of a model that is given by name: the model becomes a change of it. */
export function overridesModel(source: ConfigSource, path: readonly string[]): void {
  const { model } = source.value;
  if (path[0] === "model" && path.length > 1 && typeof model === "string") source.value["model"] = { base: model };
}

/**
 * Replaces `model: { base: gemma-2b, layers: 2 }` by the whole model. Keys of the change win; mappings are merged.
 *
 * @param load the model that `base` names
 */
export function expandModelBase(source: ConfigSource, load: (base: string) => ModelFile & { readonly name: string }): void {
  const { model } = source.value;
  if (!isRecord(model) || typeof model["base"] !== "string") return;
  const { base, ...changes } = model;
  const { name, ...whole } = load(model["base"]);
  source.value["model"] = { name: `${name} (changed)`, ...merged(whole, changes) };
}

function merged(whole: Readonly<Record<string, unknown>>, changes: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const result = { ...whole };
  for (const [key, change] of Object.entries(changes)) {
    const before = result[key];
    result[key] = isRecord(before) && isRecord(change) ? merged(before, change) : change;
  }
  return result;
}
