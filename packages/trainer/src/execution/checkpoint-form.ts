import {
  type LoraConfig,
  loraParams,
  type Model,
  type ModelConfig,
  buildModel,
  type ParamSpec,
  type PipelineShape,
} from "@lapidary/models";
import { inSet, scoreHead, scoreParams, scoreWeight, valueSet } from "@lapidary/post-training";
import { paramName, pipelineOf, type ResolvedJob } from "@lapidary/training";
import { loraConfig } from "../recipes/recipe-request.js";

/** The files of a checkpoint that hold trained weights, and those that describe them. */
export type CheckpointForm = {
  readonly config: ModelConfig;
  /** Whether a value model is trained as well: `value_model.safetensors`. */
  readonly hasValueModel?: boolean;
  /** The stages of the run. Files do not depend on them. */
  readonly pipeline?: PipelineShape | undefined;
} & (
  | /** All weights of a model, as transformers loads them: `model.safetensors`, `config.json`. */
  { readonly kind: "model" }
  /** A reward model, as transformers loads it for the classification of sequences: all weights and `score.weight`. */
  | { readonly kind: "reward" }
  /** An adapter, as PEFT loads it: `adapter_model.safetensors`, `adapter_config.json`. That of a reward model has the trained head, too. */
  | { readonly kind: "adapter"; readonly lora: LoraConfig; readonly base: string; readonly isReward?: boolean }
);

/** The form of the checkpoints of a job. */
export function checkpointForm({
  recipe,
  model,
  lora,
  train,
  rl,
  ...layout
}: Pick<ResolvedJob, "recipe" | "model" | "lora" | "train" | "rl" | "mesh" | "rules" | "pipeline">): CheckpointForm {
  const pipeline = pipelineOf(layout);
  const about = {
    config: model.config,
    ...(pipeline === undefined ? {} : { pipeline }),
    ...(rl?.algorithm === "ppo" ? { hasValueModel: true } : {}),
  };
  const isReward = recipe === "reward";
  if (lora === undefined) return { ...about, kind: isReward ? "reward" : "model" };
  return { ...about, kind: "adapter", lora: loraConfig(lora), base: train.init ?? "", ...(isReward ? { isReward } : {}) };
}

/** The model whose parameters a run trains. */
export const modelOfForm = ({ config, pipeline }: Pick<CheckpointForm, "config" | "pipeline">): Model => buildModel(config, { pipeline });

/** A safetensors file of trained weights: the name of each array in it, and the state that it holds. */
export interface WeightsFile {
  readonly name: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly tensors: readonly FileTensor[];
}

/** An array of a file. A stack is stored as the tensors `parts`, one after the other. */
export interface FileTensor extends Pick<ParamSpec, "name" | "parts"> {
  readonly state: string;
}

const fileTensor = ({ name, parts }: ParamSpec, state: string): FileTensor => ({ name, state, ...(parts === undefined ? {} : { parts }) });

const ownNames = (params: readonly ParamSpec[]): WeightsFile["tensors"] => params.map((spec) => fileTensor(spec, paramName(spec.name)));

/** The files of the trained weights, in the order of the states: that of the policy or the reward model first. */
export const weightsFiles = (form: CheckpointForm): readonly WeightsFile[] => [policyFile(form), ...valueFile(form)];

function policyFile(form: CheckpointForm): WeightsFile {
  switch (form.kind) {
    case "model":
      return { name: "model.safetensors", tensors: ownNames(modelOfForm(form).params) };
    case "reward":
      return { name: "model.safetensors", tensors: ownNames(scoreParams(buildModel(form.config))) };
    case "adapter": {
      const model = buildModel(form.config);
      const head = form.isReward === true ? [{ name: peftHead, state: paramName(scoreHead(model).name) }] : [];
      return { name: "adapter_model.safetensors", tensors: [...ownNames(loraParams(model, form.lora)), ...head] };
    }
  }
}

/** The value model of PPO, by the names of a reward model. Only training reads it. */
function valueFile({ config, hasValueModel = false }: CheckpointForm): readonly WeightsFile[] {
  if (!hasValueModel) return [];
  const tensors = scoreParams(buildModel(config)).map((spec) => fileTensor(spec, paramName(inSet(valueSet, spec.name))));
  return [{ name: "value_model.safetensors", tensors }];
}

/** PEFT's name of a module that is trained whole: the head of a reward model. */
const peftHead = `base_model.model.${scoreWeight}`;

/** `config.json` of a reward model, which has one label. */
export const rewardConfig = (config: Readonly<Record<string, unknown>>): object => ({
  ...config,
  architectures: classifierOf(config["architectures"]),
  id2label: { 0: "score" },
  label2id: { score: 0 },
  problem_type: "regression",
});

/** The classes of transformers that classify with a language model: GemmaForSequenceClassification. Gemma 3 has one for text alone. */
const classifierOf = (architectures: unknown): string[] =>
  (Array.isArray(architectures) ? (architectures as unknown[]) : []).map((name) =>
    String(name)
      .replace("ForCausalLM", "ForSequenceClassification")
      .replace(/^Gemma3For/, "Gemma3TextFor"),
  );

/** PEFT's description of an adapter. */
export const adapterConfig = ({
  lora: { rank, alpha, targets },
  base,
  isReward = false,
}: Extract<CheckpointForm, { kind: "adapter" }>): object => ({
  peft_type: "LORA",
  task_type: isReward ? "SEQ_CLS" : "CAUSAL_LM",
  base_model_name_or_path: base,
  r: rank,
  lora_alpha: alpha,
  lora_dropout: 0,
  target_modules: [...targets],
  ...(isReward ? { modules_to_save: ["score"] } : {}),
  bias: "none",
  fan_in_fan_out: false,
  init_lora_weights: true,
  inference_mode: true,
});
