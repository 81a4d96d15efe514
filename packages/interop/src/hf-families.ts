import { z } from "zod";
import { type FamilyName, type LayerType, type ModelConfig, layerTypesOf, traitsOf } from "@lapidary/models";
import { none, only, type Requirement } from "./hf-requirements.js";

/** The keys that decide the types of layers. */
interface HfLayers {
  readonly num_hidden_layers: number;
  readonly sliding_window?: number | null | undefined;
  readonly use_sliding_window?: boolean | null | undefined;
  readonly max_window_layers?: number | null | undefined;
  readonly sliding_window_pattern?: number | null | undefined;
  readonly _sliding_window_pattern?: number | null | undefined;
}

/** The keys of a mixture of experts, with the defaults of the family. */
export const hfExpertsSchema = z.looseObject({
  intermediate_size: z.number(),
  num_local_experts: z.number().nullish(),
  num_experts: z.number().nullish(),
  num_experts_per_tok: z.number(),
  router_aux_loss_coef: z.number(),
  output_router_logits: z.boolean(),
  moe_intermediate_size: z.number().nullish(),
  norm_topk_prob: z.boolean().nullish(),
  decoder_sparse_step: z.number().nullish(),
  mlp_only_layers: z.array(z.number()).nullish(),
});
type HfExperts = z.infer<typeof hfExpertsSchema>;

/** How the `config.json` of one class of transformers describes a model. */
export interface HfFamily {
  readonly name: Exclude<FamilyName, "decoder">;
  readonly modelType: string;
  readonly architecture: string;
  /** Keys that the model is built from, besides those that all families have. */
  readonly used: readonly string[];
  /** The values of absent keys in transformers. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** Required values in the place of those of Gemma 1. */
  readonly required: Readonly<Record<string, Requirement>>;
  /** The types of layers without the key layer_types; all are full by default. */
  readonly layerTypes?: (hf: HfLayers) => readonly LayerType[];
  /** The experts of a configuration with the defaults. */
  readonly experts?: (hf: HfExperts) => NonNullable<ModelConfig["experts"]>;
  /** Keys of its own in a written configuration. */
  readonly written: (config: ModelConfig) => Readonly<Record<string, unknown>>;
}

const repeat = (layers: number, typeOf: (layer: number) => LayerType): LayerType[] => Array.from({ length: layers }, (_, i) => typeOf(i));

const hfLayerTypes = { full: "full_attention", window: "sliding_attention" } as const satisfies Record<LayerType, string>;

export const layerTypeOfHf: ReadonlyMap<unknown, LayerType> = new Map([
  [hfLayerTypes.full, "full"],
  [hfLayerTypes.window, "window"],
]);

const writtenWindow = (config: ModelConfig): Record<string, unknown> => ({
  sliding_window: config.window ?? null,
  layer_types: layerTypesOf(config).map((type) => hfLayerTypes[type]),
});

const silu: Readonly<Record<string, Requirement>> = {
  hidden_act: only("the activation SiLU (silu)", "silu", "swish"),
  hidden_activation: only("the activation SiLU (silu)", "silu", "swish"),
};

const expertDefaults = { normalize: true, every: 1, denseLayers: [] };

/** transformers adds the auxiliary loss only if the router's logits are an output. */
const auxWeightOf = ({ output_router_logits: isOutput, router_aux_loss_coef: weight }: HfExperts): number => (isOutput ? weight : 0);

const writtenBalance = (experts: ModelConfig["experts"]): Record<string, unknown> => ({
  output_router_logits: (experts?.auxWeight ?? 0) > 0,
  router_aux_loss_coef: experts?.auxWeight ?? 0,
});

const gemma: HfFamily = {
  name: "gemma",
  modelType: "gemma",
  architecture: "GemmaForCausalLM",
  used: [],
  defaults: { max_position_embeddings: 8192, rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: true },
  required: { tie_word_embeddings: only("an output head that is the embedding", true) },
  written: () => ({}),
};

const llama: HfFamily = {
  name: "llama",
  modelType: "llama",
  architecture: "LlamaForCausalLM",
  used: ["rope_scaling", "rope_parameters"],
  defaults: { max_position_embeddings: 2048, rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: false },
  required: silu,
  written: () => ({ mlp_bias: false, pretraining_tp: 1 }),
};

/** The families that transformers has a class for. */
export const hfFamilies: readonly HfFamily[] = [
  gemma,
  {
    ...gemma,
    name: "gemma2",
    modelType: "gemma2",
    architecture: "Gemma2ForCausalLM",
    used: [
      "query_pre_attn_scalar",
      "attn_logit_softcapping",
      "final_logit_softcapping",
      "sliding_window",
      "layer_types",
      "rope_scaling",
      "rope_parameters",
    ],
    defaults: {
      ...gemma.defaults,
      query_pre_attn_scalar: 256,
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30,
      sliding_window: 4096,
    },
    required: {},
    layerTypes: ({ num_hidden_layers: layers }) => repeat(layers, (i) => (i % 2 === 0 ? "window" : "full")),
    written: (config) => ({
      ...writtenWindow(config),
      query_pre_attn_scalar: config.queryScalar ?? config.headDim,
      attn_logit_softcapping: config.attentionCap ?? null,
      final_logit_softcapping: config.logitCap ?? null,
    }),
  },
  {
    ...gemma,
    name: "gemma3",
    modelType: "gemma3_text",
    architecture: "Gemma3ForCausalLM",
    used: [
      "query_pre_attn_scalar",
      "final_logit_softcapping",
      "sliding_window",
      "layer_types",
      "sliding_window_pattern",
      "_sliding_window_pattern",
      "rope_local_base_freq",
      "rope_scaling",
      "rope_parameters",
    ],
    defaults: {
      max_position_embeddings: 131072,
      rms_norm_eps: 1e-6,
      rope_theta: 1e6,
      rope_local_base_freq: 10000,
      tie_word_embeddings: true,
      query_pre_attn_scalar: 256,
      sliding_window: 4096,
    },
    required: {},
    layerTypes: ({ num_hidden_layers: layers, sliding_window_pattern: pattern, _sliding_window_pattern: other }) =>
      repeat(layers, (i) => ((i + 1) % (pattern ?? other ?? 6) === 0 ? "full" : "window")),
    written: (config) => ({
      ...writtenWindow(config),
      query_pre_attn_scalar: config.queryScalar ?? config.headDim,
      attn_logit_softcapping: null,
      final_logit_softcapping: config.logitCap ?? null,
    }),
  },
  llama,
  {
    ...llama,
    name: "mistral",
    modelType: "mistral",
    architecture: "MistralForCausalLM",
    used: [...llama.used, "sliding_window"],
    defaults: { ...llama.defaults, max_position_embeddings: 131072, sliding_window: 4096 },
    required: { ...silu, layer_types: { holds: () => false, has: "one type of layers, which sliding_window decides" } },
    layerTypes: ({ num_hidden_layers: layers, sliding_window: window }) =>
      repeat(layers, () => (typeof window === "number" ? "window" : "full")),
    written: ({ window }) => ({ sliding_window: window ?? null }),
  },
  {
    ...llama,
    name: "qwen3",
    modelType: "qwen3",
    architecture: "Qwen3ForCausalLM",
    used: [...llama.used, "sliding_window", "use_sliding_window", "max_window_layers", "layer_types"],
    defaults: {
      ...llama.defaults,
      max_position_embeddings: 32768,
      head_dim: 128,
      use_sliding_window: false,
      sliding_window: 4096,
      max_window_layers: 28,
    },
    layerTypes: ({ num_hidden_layers: layers, sliding_window: window, use_sliding_window: uses, max_window_layers: first }) =>
      repeat(layers, (i) => (uses === true && typeof window === "number" && i >= (first ?? 28) ? "window" : "full")),
    written: (config) => ({
      ...writtenWindow(config),
      use_sliding_window: config.window !== undefined,
      max_window_layers: config.layers,
    }),
  },
  {
    ...llama,
    name: "mixtral",
    modelType: "mixtral",
    architecture: "MixtralForCausalLM",
    used: [...llama.used, "sliding_window", "num_local_experts", "num_experts_per_tok", "router_aux_loss_coef", "output_router_logits"],
    defaults: {
      ...llama.defaults,
      max_position_embeddings: 131072,
      rms_norm_eps: 1e-5,
      num_experts_per_tok: 2,
      num_local_experts: 8,
      output_router_logits: false,
      router_aux_loss_coef: 0.001,
    },
    required: { ...silu, router_jitter_noise: none("noise of the router") },
    layerTypes: ({ num_hidden_layers: layers, sliding_window: window }) =>
      repeat(layers, () => (typeof window === "number" ? "window" : "full")),
    experts: (hf) => ({
      ...expertDefaults,
      count: hf.num_local_experts ?? 0,
      perToken: hf.num_experts_per_tok,
      mlpDim: hf.intermediate_size,
      auxWeight: auxWeightOf(hf),
    }),
    written: ({ window, experts }) => ({
      sliding_window: window ?? null,
      num_local_experts: experts?.count,
      num_experts_per_tok: experts?.perToken,
      intermediate_size: experts?.mlpDim,
      router_jitter_noise: 0,
      ...writtenBalance(experts),
    }),
  },
  {
    ...llama,
    name: "qwen3moe",
    modelType: "qwen3_moe",
    architecture: "Qwen3MoeForCausalLM",
    used: [
      ...llama.used,
      "sliding_window",
      "use_sliding_window",
      "num_local_experts",
      "num_experts",
      "num_experts_per_tok",
      "moe_intermediate_size",
      "norm_topk_prob",
      "decoder_sparse_step",
      "mlp_only_layers",
      "router_aux_loss_coef",
      "output_router_logits",
    ],
    defaults: {
      ...llama.defaults,
      max_position_embeddings: 32768,
      num_key_value_heads: 4,
      use_sliding_window: false,
      sliding_window: 4096,
      num_experts_per_tok: 8,
      moe_intermediate_size: 768,
      norm_topk_prob: false,
      decoder_sparse_step: 1,
      output_router_logits: false,
      router_aux_loss_coef: 0.001,
    },
    layerTypes: ({ num_hidden_layers: layers, sliding_window: window, use_sliding_window: uses }) =>
      repeat(layers, () => (uses === true && typeof window === "number" ? "window" : "full")),
    experts: (hf) => ({
      ...expertDefaults,
      count: hf.num_experts ?? hf.num_local_experts ?? 128,
      perToken: hf.num_experts_per_tok,
      mlpDim: hf.moe_intermediate_size ?? 768,
      normalize: hf.norm_topk_prob ?? false,
      auxWeight: auxWeightOf(hf),
      every: hf.decoder_sparse_step ?? 1,
      denseLayers: hf.mlp_only_layers ?? [],
    }),
    written: ({ window, experts }) => ({
      sliding_window: window ?? null,
      use_sliding_window: window !== undefined,
      num_experts: experts?.count,
      num_experts_per_tok: experts?.perToken,
      moe_intermediate_size: experts?.mlpDim,
      norm_topk_prob: experts?.normalize,
      decoder_sparse_step: experts?.every,
      mlp_only_layers: experts?.denseLayers,
      ...writtenBalance(experts),
    }),
  },
];

export const hfFamilyOf = (modelType: unknown): HfFamily | undefined => hfFamilies.find((family) => family.modelType === modelType);

export const labelOf = ({ name }: HfFamily): string => traitsOf({ family: name }).label;
