import { z } from "zod";
import { type ConfigSource, isRecord } from "./config-source.js";

/** A model as a change of another. */
export const modelChangeSchema = z.looseObject({
  base: z
    .string()
    .min(1)
    .describe("Name of a file of configs/models, a path, or the directory of a Hugging Face checkpoint. Further keys change it"),
});

/** A pod as a change of another. */
export const podChangeSchema = z.looseObject({
  base: z.string().min(1).describe("Name of a file of configs/pods, or a path. Further keys change it"),
});

/** Keys of a job whose value is a name, a value, or a change of a named value. */
const changeableKeys = ["model", "pod"] as const;
type ChangeableKey = (typeof changeableKeys)[number];

/** A value as a change of a named one. Whatever reads a validated job gets none: `expandBase` replaces them first. */
export const isChange = <T extends object>(value: string | T | { readonly base: string }): value is { readonly base: string } =>
  typeof value !== "string" && "base" in value;

/** An override of a key of a model or pod that is given by name: the value becomes a change of it. */
export function overridesNamed(source: ConfigSource, path: readonly string[]): void {
  const key = changeableKeys.find((each) => each === path[0]);
  const name = key === undefined ? undefined : source.value[key];
  if (key !== undefined && path.length > 1 && typeof name === "string") source.value[key] = { base: name };
}

/**
 * Replaces a change, such as `model: { base: gemma-2b, layers: 2 }`, by the whole value. Keys of the change win; mappings are merged.
 *
 * @param load the value that `base` names
 */
export function expandBase(source: ConfigSource, key: ChangeableKey, load: (base: string) => { readonly name: string }): void {
  const value = source.value[key];
  if (!isRecord(value) || typeof value["base"] !== "string") return;
  const { base, ...changes } = value;
  const { name, ...whole } = load(value["base"]);
  source.value[key] = { name: `${name} (changed)`, ...merged(whole, changes) };
}

function merged(whole: Readonly<Record<string, unknown>>, changes: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const result = { ...whole };
  for (const [key, change] of Object.entries(changes)) {
    const before = result[key];
    result[key] = isRecord(before) && isRecord(change) ? merged(before, change) : change;
  }
  return result;
}
