import { isDecoder } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import { type ConfigSource, valueAt } from "./config-source.js";
import type { JobFile } from "./job-schema.js";
import { newTokenizer } from "./job-tokenizer.js";
import type { ResolvedJob } from "./resolved-job.js";

/** Keys that only recipes on examples have, and keys that only a corpus has. */
const exampleKeys = [["data", "train"], ["data", "eval"], ["data", "pack"], ["data", "filters"], ["lora"]] as const;
const corpusKeys = [
  ["data", "corpus"],
  ["data", "text_field"],
  ["data", "max_bytes"],
  ["data", "vocab"],
] as const;

/**
 * Checks that a job has the keys of its recipe, and no others.
 *
 * @throws LapidaryError `LAP_CONFIG_VALUE`
 */
export function checkRecipe(file: JobFile, source: ConfigSource): void {
  const refuse = (path: readonly string[], message: string, remedy: string): LapidaryError =>
    new LapidaryError({ code: "LAP_CONFIG_VALUE", message, location: source.locationOf(path), remedy });
  const given = (paths: readonly (readonly string[])[]): readonly string[] | undefined =>
    paths.find((path) => valueAt(source.value, path) !== undefined);
  if (file.init !== undefined && file.train.init !== undefined)
    throw refuse(["init"], "init and train.init name the checkpoint twice", "remove one of init and train.init");
  if (file.recipe !== "sft") {
    const key = given(exampleKeys);
    if (key !== undefined)
      throw refuse(key, `${key.join(".")} is not a key of the recipe pretrain`, "write `recipe: sft`, or remove the key");
    return;
  }
  const key = given(corpusKeys);
  if (key !== undefined)
    throw refuse(key, `${key.join(".")} is not a key of the recipe sft, which trains on examples`, "name files of examples in data.train");
  if (file.data.train === undefined)
    throw refuse(["data"], "the recipe sft needs data.train", "name a file: data.train: [{ path: demos.jsonl }]");
  if (file.init === undefined && file.train.init === undefined)
    throw refuse([], "the recipe sft needs a checkpoint to start from", "name a run or the directory of a checkpoint in init");
  if (file.data.tokenizer === newTokenizer)
    throw refuse(
      ["data", "tokenizer"],
      "the recipe sft does not train a tokenizer",
      "remove data.tokenizer: the checkpoint has a tokenizer",
    );
  if (file.data.filters?.includes("contamination") === true && file.data.eval === undefined)
    throw refuse(["data", "filters"], "the filter contamination needs data.eval", "name the evaluation files in data.eval");
}

/** @throws LapidaryError `LAP_CONFIG_VALUE` for an adapter of a model whose projections LoRA cannot change */
export function checkAdapter({ lora, model }: ResolvedJob, source: ConfigSource): void {
  if (lora === undefined || !isDecoder(model.config)) return;
  throw new LapidaryError({
    code: "LAP_CONFIG_VALUE",
    message: `the family of ${model.name} has no adapters`,
    location: source.locationOf(["lora"]),
    remedy: "remove lora to train all weights, or use a Gemma model",
  });
}
