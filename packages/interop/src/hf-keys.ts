import type { Warning } from "@lapidary/std";
import { configError } from "./hf-error.js";
import { type HfFamily, hfFamilies, hfFamilyOf, labelOf } from "./hf-families.js";
import { formatValue, isObject, type Json, none, only, type Requirement } from "./hf-requirements.js";

/**
 * Every key that a `config.json` may have is in one of three groups: the model is built from it (`hf-config.ts`, `hf-families.ts`), it must have the
 * value of the family (`required`), or it does not change what the model computes (`harmless`). Any other key is reported, because it may change the model.
 */

/** The dimensions and constants that a model of any family is built from. */
const used: ReadonlySet<string> = new Set([
  "vocab_size",
  "hidden_size",
  "num_hidden_layers",
  "num_attention_heads",
  "num_key_value_heads",
  "head_dim",
  "intermediate_size",
  "max_position_embeddings",
  "rms_norm_eps",
  "rope_theta",
  "tie_word_embeddings",
]);

const tanhGelu = "the tanh form of GELU (gelu_pytorch_tanh)";

/** The values of Gemma 1, which are those of every family that does not say otherwise. */
const required: Readonly<Record<string, Requirement>> = {
  hidden_act: { holds: (value, config) => value === "gelu_pytorch_tanh" || (value === "gelu" && !meansExactGelu(config)), has: tanhGelu },
  hidden_activation: only(tanhGelu, "gelu_pytorch_tanh"),
  attention_bias: none("biases in attention"),
  mlp_bias: none("biases in the MLP"),
  use_bias: none("biases"),
  qkv_bias: none("biases in attention"),
  attention_dropout: none("dropout"),
  hidden_dropout: none("dropout"),
  hidden_dropout_prob: none("dropout"),
  resid_pdrop: none("dropout"),
  embd_pdrop: none("dropout"),
  dropout: none("dropout"),
  use_bidirectional_attention: none("attention to later tokens"),
  is_encoder_decoder: none("encoder"),
  add_cross_attention: none("cross attention"),
  cross_attention_hidden_size: none("cross attention"),
  tie_encoder_decoder: none("encoder"),
  sliding_window: none("sliding window"),
  use_sliding_window: none("sliding window"),
  sliding_window_pattern: none("sliding window"),
  _sliding_window_pattern: none("sliding window"),
  max_window_layers: none("sliding window"),
  layer_types: {
    holds: (value) => Array.isArray(value) && (value as unknown[]).every((type) => type === "full_attention"),
    has: "full attention in all layers",
  },
  attn_logit_softcapping: none("soft cap on attention scores"),
  final_logit_softcapping: none("soft cap on logits"),
  logit_softcapping: none("soft cap on logits"),
  query_pre_attn_scalar: { holds: (value, { head_dim: size }) => value === size, has: "attention scores over the square root of head_dim" },
  attention_multiplier: { holds: () => false, has: "attention scores over the square root of head_dim" },
  embedding_multiplier: { holds: () => false, has: "embeddings times the square root of hidden_size" },
  residual_multiplier: only("plain residuals", 1),
  logits_scaling: only("plain logits", 1),
  logit_scale: only("plain logits", 1),
  clip_qkv: none("clipping of queries and keys"),
  qk_norm: none("norm of queries and keys"),
  use_qk_norm: none("norm of queries and keys"),
  parallel_attn: none("parallel attention and MLP"),
  use_parallel_residual: none("parallel attention and MLP"),
  alibi: none("ALiBi"),
  partial_rotary_factor: only("rotary embedding of all channels", 1),
  rotary_pct: only("rotary embedding of all channels", 1),
  rope_local_base_freq: none("second rotary base"),
  rope_scaling: { holds: isPlainRope, has: "unscaled rotary embedding" },
  rope_parameters: { holds: isPlainRope, has: "unscaled rotary embedding" },
  num_experts: none("experts"),
  num_local_experts: none("experts"),
  enable_moe_block: none("experts"),
  num_kv_shared_layers: none("shared key and value layers"),
  hidden_size_per_layer_input: none("embeddings per layer"),
  activation_sparsity_pattern: { holds: () => false, has: "no sparse activations" },
  pruned_heads: { holds: (value) => isObject(value) && Object.keys(value).length === 0, has: "no pruned heads" },
  pretraining_tp: only("unsplit matmuls", 1, 0),
  quantization: { holds: () => false, has: "weights in F32, F16 or BF16: these are quantized" },
  quantization_config: { holds: () => false, has: "weights in F32, F16 or BF16: these are quantized" },
  compression_config: { holds: () => false, has: "weights in F32, F16 or BF16: these are compressed" },
  auto_map: { holds: () => false, has: "no model code of its own (trust_remote_code)" },
  text_config: { holds: () => false, has: "text alone: this is a multimodal model" },
  vision_config: { holds: () => false, has: "text alone: this is a multimodal model" },
  audio_config: { holds: () => false, has: "text alone: this is a multimodal model" },
};

/** The first releases wrote "gelu" for the tanh form. From transformers 4.48 on, "gelu" is the exact form (`GemmaMLP`), regardless of hidden_activation. */
function meansExactGelu({ transformers_version: version }: Json): boolean {
  const [, major = 0, minor = 0] = (/^(\d+)\.(\d+)/.exec(typeof version === "string" ? version : "") ?? []).map(Number);
  return major > 4 || (major === 4 && minor >= 48);
}

/** Keys for bookkeeping, generation and loading. */
const harmless = new RegExp(
  `^(_name_or_path|_commit_hash|_attn_implementation\\w*|_flash_attn\\w*|_from_model_config|_diffusers_version|model_type|transformers_version|torch_dtype|dtype|use_cache|initializer_range|(bos|eos|pad|sep|unk|cls|mask|decoder_start|forced_bos|forced_eos|image|boi|eoi)_token_(id|index)|name_or_path|attn_implementation|output_(attentions|hidden_states|scores)|return_dict(_in_generate)?|torchscript|use_bfloat16|tf_legacy_loss|chunk_size_feed_forward|is_decoder|id2label|label2id|num_labels|problem_type|finetuning_task|task_specific_params|tokenizer_class|prefix|cache_implementation|gradient_checkpointing|model_max_length|max_length|min_length|do_sample|early_stopping|num_beams|num_beam_groups|diversity_penalty|temperature|top_k|top_p|typical_p|repetition_penalty|length_penalty|no_repeat_ngram_size|encoder_no_repeat_ngram_size|bad_words_ids|num_return_sequences|exponential_decay_length_penalty|suppress_tokens|begin_suppress_tokens|remove_invalid_values|unsloth_.*|transformers\\.js_config|use_flash_attn|use_return_dict|output_router_logits)$`,
);

function isPlainRope(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { rope_theta: _, rope_type: type = "default", type: legacy = "default", partial_rotary_factor: share = 1, ...rest } = value;
  return type === "default" && legacy === "default" && share === 1 && Object.values(rest).every((one) => one === null || one === undefined);
}

/** The required values of a family. A key that its models are built from has none. */
const requirementsOf = (family: HfFamily): [string, Requirement][] => [
  ...Object.entries({ ...required, ...family.required }).filter(([key]) => !family.used.includes(key)),
  [
    "architectures",
    {
      holds: (value) => Array.isArray(value) && (value as unknown[]).every((name) => isClassOf(family, name)),
      has: `the class ${family.architecture}`,
    },
  ],
];

/** Whether a class of transformers, such as FlaxGemmaModel, belongs to a family. */
const isClassOf = ({ architecture }: HfFamily, name: unknown): boolean =>
  typeof name === "string" && new RegExp(`^(Flax|TF)?${architecture.replace("ForCausalLM", "")}(?!\\d)`).test(name);

/**
 * Rejects a configuration whose family is not known, that is not of its family, or that contradicts itself.
 *
 * @throws LAP_CHECKPOINT_CONFIG with the key
 */
export function checkHfKeys(json: unknown, file: string): HfFamily {
  if (!isObject(json)) throw configError(file, "", "it is not an object of keys and values");
  const family = familyOfJson(json, file);
  for (const [key, { holds, has }] of requirementsOf(family)) {
    const value = json[key];
    if (value === undefined || value === null || holds(value, json)) continue;
    const inner = isObject(value) && /^rope/.test(key) ? ropeKey(value) : "";
    throw configError(file, `${key}${inner}`, `${key} is ${formatValue(value)}, and ${labelOf(family)} has ${has}`);
  }
  const { rope_theta: theta, rope_parameters: rope } = json;
  if (isObject(rope) && typeof theta === "number" && typeof rope["rope_theta"] === "number" && rope["rope_theta"] !== theta)
    throw configError(
      file,
      "rope_theta",
      `rope_theta is ${theta}, rope_parameters.rope_theta is ${rope["rope_theta"]}: they contradict each other`,
    );
  return family;
}

/** The key within a rope setting that changes the plain rotary embedding. */
const ropeKey = (value: Json): string => {
  const key = Object.keys(value).find((name) => name !== "rope_theta" && !isPlainRope({ [name]: value[name] }));
  return key === undefined ? "" : `.${key}`;
};

function familyOfJson(json: Json, file: string): HfFamily {
  const type = json["model_type"];
  const family = hfFamilyOf(type);
  if (family !== undefined) return family;
  const experts = ["num_local_experts", "num_experts", "n_routed_experts"].find((key) => typeof json[key] === "number" && json[key] > 0);
  if (experts !== undefined)
    throw configError(
      file,
      experts,
      `${experts} is ${formatValue(json[experts])} (model_type ${formatValue(type)}); Lapidary supports the experts of ${hfFamilies.flatMap((one) => (one.experts === undefined ? [] : [one.modelType])).join(", ")}`,
    );
  if (type === undefined && typeof json["error"] === "string")
    throw configError(file, "model_type", `the file is an error reply of a server, not a configuration: ${formatValue(json["error"])}`);
  if (type === undefined && ("text_config" in json || "vision_config" in json))
    throw configError(file, "model_type", "it has no model_type and describes a multimodal model");
  throw configError(
    file,
    "model_type",
    type === undefined
      ? "it has no model_type"
      : `model_type is ${formatValue(type)}; Lapidary supports ${hfFamilies.map((one) => one.modelType).join(", ")}`,
  );
}

/** Warnings for keys in none of the groups, which may change the model, and for a "gelu" without a version. */
export function unknownHfKeys(json: unknown, file: string): Warning[] {
  if (!isObject(json)) return [];
  const warnings: Warning[] = [];
  if (json["hidden_act"] === "gelu" && json["hidden_activation"] === undefined && json["transformers_version"] === undefined)
    warnings.push({
      code: "LAP_CHECKPOINT_CONFIG_KEY",
      message: `hidden_act is "gelu" without a transformers_version, so its form is ambiguous: it is read as ${tanhGelu}`,
      place: `${file}: hidden_act`,
      remedy: "write hidden_act: gelu_pytorch_tanh if the model was trained with this form",
    });
  const family = hfFamilyOf(json["model_type"]);
  const ofFamily = [...(family?.used ?? []), ...Object.keys(family?.required ?? {})];
  const known = new Set([...used, "architectures", ...Object.keys(required), ...ofFamily]);
  const unknown = Object.keys(json).filter((key) => !known.has(key) && !harmless.test(key) && json[key] !== null && json[key] !== false);
  if (unknown.length > 0)
    warnings.push({
      code: "LAP_CHECKPOINT_CONFIG_KEY",
      message: `config.json has ${unknown.length === 1 ? "a key" : "keys"} that Lapidary does not know and ignores: ${unknown.map((key) => `${key} (${formatValue(json[key])})`).join(", ")}`,
      place: `${file}: ${unknown[0] ?? ""}`,
      remedy: "check that the key does not change the model, then remove it from config.json",
    });
  return warnings;
}
