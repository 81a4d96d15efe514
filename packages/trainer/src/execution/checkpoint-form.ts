import { type LoraConfig, loraParams, type ModelConfig, buildModel, paramsOf, type ParamSpec } from "@lapidary/models";
import { scoreParams } from "@lapidary/post-training";
import type { ResolvedJob } from "@lapidary/training";
import { loraConfig } from "../recipes/recipe-request.js";

/** The files of a checkpoint that hold trained weights, and those that describe them. */
export type CheckpointForm =
  /** All weights of a model, as transformers loads them: `model.safetensors`, `config.json`. */
  | { readonly kind: "model"; readonly config: ModelConfig }
  /** A reward model, as transformers loads it for the classification of sequences: all weights and `score.weight`. */
  | { readonly kind: "reward"; readonly config: ModelConfig }
  /** An adapter, as PEFT loads it: `adapter_model.safetensors`, `adapter_config.json`. */
  | { readonly kind: "adapter"; readonly config: ModelConfig; readonly lora: LoraConfig; readonly base: string };

/** The form of the checkpoints of a job. */
export function checkpointForm({ recipe, model, lora, train }: Pick<ResolvedJob, "recipe" | "model" | "lora" | "train">): CheckpointForm {
  const { config } = model;
  if (recipe === "reward") return { kind: "reward", config };
  return lora === undefined ? { kind: "model", config } : { kind: "adapter", config, lora: loraConfig(lora), base: train.init ?? "" };
}

/** The file of the trained weights. */
export const weightsFile = ({ kind }: CheckpointForm): string => (kind === "adapter" ? "adapter_model.safetensors" : "model.safetensors");

/** The names of the trained weights, in the order of the file. */
export const weightNames = (form: CheckpointForm): readonly string[] => paramsOfForm(form).map(({ name }) => name);

function paramsOfForm(form: CheckpointForm): readonly ParamSpec[] {
  switch (form.kind) {
    case "model":
      return paramsOf(form.config);
    case "reward":
      return scoreParams(buildModel(form.config));
    case "adapter":
      return loraParams(buildModel(form.config), form.lora);
  }
}

/** `config.json` of a reward model, which has one label. */
export const rewardConfig = (config: Readonly<Record<string, unknown>>): object => ({
  ...config,
  architectures: ["GemmaForSequenceClassification"],
  id2label: { 0: "score" },
  label2id: { score: 0 },
  problem_type: "regression",
});

/** PEFT's description of an adapter. */
export const adapterConfig = ({ lora: { rank, alpha, targets }, base }: Extract<CheckpointForm, { kind: "adapter" }>): object => ({
  peft_type: "LORA",
  task_type: "CAUSAL_LM",
  base_model_name_or_path: base,
  r: rank,
  lora_alpha: alpha,
  lora_dropout: 0,
  target_modules: [...targets],
  bias: "none",
  fan_in_fan_out: false,
  init_lora_weights: true,
  inference_mode: true,
});
