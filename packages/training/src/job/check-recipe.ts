import { parseChecker } from "@lapidary/evaluation";
import { LapidaryError } from "@lapidary/std";
import { type ConfigSource, valueAt } from "./config-source.js";
import { isRecipePath, type JobFile, type RecipeName } from "./job-schema.js";
import { newTokenizer } from "./job-tokenizer.js";
import type { ResolvedJob } from "./resolved-job.js";

/** Keys that only recipes on examples have, and keys that only a corpus has. */
const exampleKeys = [
  ["data", "train"],
  ["data", "eval"],
  ["data", "pack"],
  ["data", "filters"],
] as const;
const corpusKeys = [
  ["data", "corpus"],
  ["data", "text_field"],
  ["data", "max_bytes"],
  ["data", "vocab"],
] as const;

/** Keys that only the sources of a pipeline have. */
const pipelineKeys = [
  ["data", "pipeline"],
  ["data", "mixture"],
  ["data", "repeat"],
  ["data", "seed"],
] as const;

/** Keys of a corpus or of examples that a pipeline replaces. */
const replacedKeys = [...exampleKeys, ...corpusKeys, ["data", "tokenizer"]] as const;

/** Keys that only a user's recipe has. */
const keysOfModules = ["recipe_hash", "options", "sets"] as const satisfies readonly (keyof JobFile)[];

/** The recipes that have a key. */
const keysOfRecipes = {
  lora: ["sft", "reward", "dpo", "rl"],
  reward: ["rl"],
  rl: ["rl"],
  dpo: ["dpo"],
  reward_model: ["reward"],
  candidate: ["compare"],
  baseline: ["compare"],
  judge: ["compare"],
  orders: ["compare"],
  compare: ["compare"],
  loss_chunks: ["pretrain", "sft"],
} as const satisfies Partial<Record<keyof JobFile, readonly RecipeName[]>>;

/**
 * Checks that a job has the keys of its recipe, and no others.
 *
 * @throws LapidaryError `LAP_CONFIG_VALUE`
 */
export function checkRecipe(file: JobFile, source: ConfigSource): void {
  const { recipe = "pretrain" } = file;
  const refuse: Refuse = (path, message, remedy) =>
    new LapidaryError({ code: "LAP_CONFIG_VALUE", message, location: source.locationOf(path), remedy });
  const given = (paths: readonly (readonly string[])[]): readonly string[] | undefined =>
    paths.find((path) => valueAt(source.value, path) !== undefined);
  if (recipe === "compare") return checkComparison(file, source, refuse);
  if (file.train === undefined)
    throw new LapidaryError({
      code: "LAP_CONFIG_MISSING_KEY",
      message: "the key train is missing",
      location: source.locationOf([]),
      remedy: "add train; `lapidary config schema` describes every key",
    });
  if (file.data.path !== undefined)
    throw refuse(["data", "path"], `data.path is not a key of the recipe ${recipe}`, "name files in data.train or data.eval");
  if (file.init !== undefined && file.train.init !== undefined)
    throw refuse(["init"], "init and train.init name the checkpoint twice", "remove one of init and train.init");
  for (const [key, recipes] of Object.entries(keysOfRecipes))
    if (given([[key]]) !== undefined && !recipes.some((each) => each === recipe))
      throw refuse([key], `${key} is not a key of the recipe ${recipe}`, `write \`recipe: ${recipes.join("` or `")}\`, or remove the key`);
  const parts = given([
    ["train", "microbatches"],
    ["train", "gradient_sums"],
  ]);
  if (parts !== undefined && recipe !== "pretrain" && recipe !== "sft")
    throw refuse(
      parts,
      `${parts.join(".")} is not a key of the recipe ${recipe}`,
      "write `recipe: pretrain` or `recipe: sft`, or remove the key",
    );
  for (const key of keysOfModules)
    if (file[key] !== undefined && !isRecipePath(recipe))
      throw refuse([key], `${key} is not a key of the recipe ${recipe}`, "name the module of a recipe, such as `recipe: ./mine.mjs`");
  if (checkPipeline(file, refuse, given)) return;
  if (isRecipePath(recipe)) return checkDataOfModule(file, refuse, given);
  if (recipe === "pretrain") {
    const key = given(exampleKeys);
    if (key !== undefined)
      throw refuse(key, `${key.join(".")} is not a key of the recipe pretrain`, "write `recipe: sft`, or remove the key");
    return;
  }
  const key = given(corpusKeys);
  if (key !== undefined)
    throw refuse(
      key,
      `${key.join(".")} is not a key of the recipe ${recipe}, which trains on examples`,
      "name files of examples in data.train",
    );
  if (file.data.train === undefined)
    throw refuse(["data"], `the recipe ${recipe} needs data.train`, "name a file: data.train: [{ path: demos.jsonl }]");
  if (file.init === undefined && file.train.init === undefined)
    throw refuse([], `the recipe ${recipe} needs a checkpoint to start from`, "name a run or the directory of a checkpoint in init");
  if (file.data.tokenizer === newTokenizer)
    throw refuse(
      ["data", "tokenizer"],
      `the recipe ${recipe} does not train a tokenizer`,
      "remove data.tokenizer: the checkpoint has a tokenizer",
    );
  if (file.data.filters?.includes("contamination") === true && file.data.eval === undefined)
    throw refuse(["data", "filters"], "the filter contamination needs data.eval", "name the evaluation files in data.eval");
  if (file.data.pack === true && recipe !== "sft")
    throw refuse(["data", "pack"], `a row of the recipe ${recipe} has one example`, "remove data.pack");
  if (file.sample !== undefined && recipe === "reward")
    throw refuse(["sample"], "a reward model scores answers and writes no text", "remove sample");
  if (recipe === "rl") checkRewards(file, refuse);
}

type Refuse = (path: readonly string[], message: string, remedy: string) => LapidaryError;

/** @returns whether the job trains on the sources of a pipeline */
function checkPipeline(
  file: JobFile,
  refuse: Refuse,
  given: (paths: readonly (readonly string[])[]) => readonly string[] | undefined,
): boolean {
  const { recipe = "pretrain", data } = file;
  const key = given(pipelineKeys);
  if (key === undefined) return false;
  if (recipe !== "pretrain" && !isRecipePath(recipe))
    throw refuse(key, `${key.join(".")} is not a key of the recipe ${recipe}`, "write `recipe: pretrain`, or remove the key");
  if (data.pipeline === undefined)
    throw refuse(key, `${key.join(".")} needs data.pipeline`, "name the directory that `lapidary data run` wrote in data.pipeline");
  const other = given(replacedKeys);
  if (other !== undefined)
    throw refuse(other, `${other.join(".")} is not a key of a job with data.pipeline`, "remove it: the pipeline has text and tokenizer");
  return true;
}

/** A user's recipe trains on a corpus, or on rows of examples like sft. */
function checkDataOfModule(
  file: JobFile,
  refuse: Refuse,
  given: (paths: readonly (readonly string[])[]) => readonly string[] | undefined,
): void {
  const example = given(exampleKeys);
  if (file.data.train === undefined) {
    if (example !== undefined)
      throw refuse(example, `${example.join(".")} needs data.train`, "name a file of examples in data.train, or remove the key");
    return;
  }
  const corpus = given(corpusKeys);
  if (corpus !== undefined)
    throw refuse(corpus, `${corpus.join(".")} is a key of a corpus, and data.train names examples`, "keep one of them");
  const init = file.init ?? file.train?.init;
  if (file.data.tokenizer === newTokenizer || (init === undefined && file.data.tokenizer === undefined))
    throw refuse(
      ["data"],
      "examples need the tokenizer of a checkpoint",
      "name a run or the directory of a checkpoint in init, or a tokenizer in data.tokenizer",
    );
}

/** Keys that a comparison does not have: it trains nothing, and its prompts are held out. */
const trainingKeys = [
  ["train"],
  ["init"],
  ["sample"],
  ["checkpoint"],
  ["data", "train"],
  ["data", "pack"],
  ["data", "filters"],
  ["data", "tokenizer"],
  ...corpusKeys,
  ...pipelineKeys,
] as const;

/** The keys of a comparison of two models. */
function checkComparison(file: JobFile, source: ConfigSource, refuse: Refuse): void {
  const key = trainingKeys.find((path) => valueAt(source.value, path) !== undefined);
  if (key !== undefined) throw refuse(key, `${key.join(".")} is not a key of the recipe compare, which trains nothing`, "remove the key");
  for (const name of ["candidate", "baseline"] as const)
    if (file[name] === undefined)
      throw refuse([], `the recipe compare needs ${name}`, `name a run or the directory of a checkpoint in ${name}`);
  if ((file.data.eval === undefined) === (file.data.path === undefined))
    throw refuse(["data"], "the recipe compare needs one of data.path and data.eval", "name a file of prompts: data: { path: held.jsonl }");
  const { judge, orders, compare } = file;
  if (orders !== undefined && (judge === undefined || !("model" in judge)))
    throw refuse(["orders"], "only a judge that is a model sees an order of answers", "remove orders, or name a model in judge");
  if (judge !== undefined && "checker" in judge) checkChecker(judge, ["judge"], refuse);
  if (compare?.optimum !== undefined && compare.temperature !== 1)
    throw refuse(["compare", "optimum"], "the optimum is a property of samples", "set compare.temperature to 1, or remove compare.optimum");
}

/** @throws what `refuse` makes of an unknown checker or a wrong setting */
function checkChecker(settings: unknown, path: readonly string[], refuse: Refuse): void {
  try {
    parseChecker(settings, path.join("."));
  } catch (error) {
    throw error instanceof LapidaryError ? refuse(path, error.message, error.remedy ?? "correct the checker") : error;
  }
}

/** The reward and the rollout of a job of rl. */
function checkRewards({ rl, reward, train }: JobFile, refuse: Refuse): void {
  if (rl === undefined) throw refuse([], "the recipe rl needs rl.rollout.max_new_tokens", "write rl: { rollout: { max_new_tokens: 32 } }");
  if (reward === undefined)
    throw refuse([], "the recipe rl needs a reward", "name a checker or a reward model: reward: [{ checker: sorted }]");
  if ((rl.algorithm === "rloo" || rl.algorithm === "grpo") && rl.generations < 2)
    throw refuse(["rl", "generations"], `${rl.algorithm} compares the completions of a prompt`, "use 2 or more generations, or reinforce");
  for (const [key, algorithm] of [
    ["reduction", "grpo"],
    ["kl_weight", "grpo"],
    ["ppo", "ppo"],
  ] as const)
    if (rl[key] !== undefined && rl.algorithm !== algorithm)
      throw refuse(["rl", key], `${rl.algorithm} has no ${key}`, `remove rl.${key}, or use ${algorithm}`);
  for (const [at, source] of reward.entries())
    if ("checker" in source) {
      const { weight: _, ...settings } = source;
      checkChecker(settings, ["reward", `${at}`], refuse);
    }
  if (rl.check !== undefined && train?.eval === undefined)
    throw refuse(["rl", "check"], "rl.check compares evaluations, and the job has one, at its end", "write train.eval: { every: 20 }");
  if (rl.check !== undefined) checkChecker(rl.check, ["rl", "check"], refuse);
}

/** @throws LapidaryError `LAP_CONFIG_VALUE` for an adapter of a model whose projections LoRA cannot change */
export function checkAdapter({ recipe, lora, model }: ResolvedJob, source: ConfigSource): void {
  if (recipe !== undefined && (model.config.experts?.auxWeight ?? 0) > 0)
    throw new LapidaryError({
      code: "LAP_CONFIG_VALUE",
      message: `the recipe ${recipe} has no auxiliary loss, and ${model.name} has one with the weight ${model.config.experts?.auxWeight}`,
      location: source.locationOf(["recipe"]),
      remedy: "set model.experts.aux_weight to 0, or use another model",
    });
  if (lora === undefined || model.config.fusedProjections !== true) return;
  throw new LapidaryError({
    code: "LAP_CONFIG_VALUE",
    message: `the projections of ${model.name} are fused, and LoRA changes single projections`,
    location: source.locationOf(["lora"]),
    remedy: "remove lora to train all weights, or set model.fused_projections to false",
  });
}
