import type { ModelConfig } from "./model-config.js";
import { ensure } from "@lapidary/std";
import type { ExpertNames } from "./families.js";
import { expertsOf, isTied, traitsOf } from "./model-config.js";
import type { ParamInit, ParamSpec } from "./model.js";

/** The logical axes of parameters, batch and activations of a model. Rules may name these axes. */
export const logicalAxes = [
  "batch",
  "seq",
  "vocab",
  "embed",
  "heads",
  "kv_heads",
  "mlp",
  "norm",
  "activation_seq",
  "activation_embed",
  "experts",
  "expert_batch",
  "exchanged_heads",
  "stages",
  "pipeline_seq",
] as const;

export const embedding = "model.embed_tokens.weight";
export const outputProjection = "lm_head.weight";
export const finalNorm = "model.norm.weight";

/** The name of a weight of one layer: `model.layers.0.mlp.up_proj.weight`. */
export const layerWeight = (layer: number, name: string): string => `model.layers.${layer}.${name}.weight`;

/** The norms of a layer by their use. The checkpoint has `post_attention_layernorm` before the MLP if no norm follows a sub-layer. */
export interface LayerNorms {
  readonly beforeAttention: string;
  readonly afterAttention?: string;
  readonly beforeMlp: string;
  readonly afterMlp?: string;
}

const preNorms: LayerNorms = { beforeAttention: "input_layernorm", beforeMlp: "post_attention_layernorm" };
const allNorms: LayerNorms = {
  beforeAttention: "input_layernorm",
  afterAttention: "post_attention_layernorm",
  beforeMlp: "pre_feedforward_layernorm",
  afterMlp: "post_feedforward_layernorm",
};

export const layerNorms = (config: ModelConfig): LayerNorms => (traitsOf(config).postNorms ? allNorms : preNorms);

// Matmuls preserve the scale of their operand.
const fanIn = (width: number): ParamInit => ({ kind: "normal", scale: 1 / Math.sqrt(width) });

/** Parameters in the order of a Hugging Face checkpoint. */
export function decoderParams(config: ModelConfig): ParamSpec[] {
  const { vocabSize: V, modelDim: D } = config;
  const tied = isTied(config);
  return [
    {
      name: embedding,
      dims: [V, D],
      logicalAxes: ["vocab", "embed"],
      // With half the usual scale the first logits of a tied embedding are nearly uniform, and the token does not dominate the residual stream.
      init: tied ? { kind: "normal", scale: 0.5 / Math.sqrt(D) } : fanIn(D),
    },
    ...Array.from({ length: config.layers }, (_, i) => layerParams(config, i)).flat(),
    norm(config, finalNorm, D),
    ...(tied ? [] : [{ name: outputProjection, dims: [V, D], logicalAxes: ["vocab", "embed"], init: fanIn(D) }]),
  ];
}

/** A norm that first scales by one. */
const norm = (config: ModelConfig, name: string, width: number): ParamSpec => ({
  name,
  dims: [width],
  logicalAxes: ["norm"],
  init: { kind: traitsOf(config).norm === "plain" ? "ones" : "zeros" },
});

function layerParams(config: ModelConfig, layer: number): ParamSpec[] {
  const { modelDim: D, heads: H, headDim: E, mlpDim: F } = config;
  // The two that add to the residual stream are scaled by the number of layers.
  const intoResidual = (width: number): ParamInit => ({ kind: "normal", scale: 1 / Math.sqrt(width * 2 * config.layers) });
  const experts = expertsOf(config, layer);
  const [into, gates] = config.fusedProjections === true ? fusedProjections(config) : projections(config);
  const norms = layerNorms(config);
  const weights: ParamSpec[] = [
    ...into,
    { name: "self_attn.o_proj", dims: [D, H * E], logicalAxes: ["embed", `heads/${H}`], init: intoResidual(H * E) },
    ...(experts === undefined
      ? [...gates, { name: "mlp.down_proj", dims: [D, F], logicalAxes: ["embed", "mlp"], init: intoResidual(F) }]
      : expertParams(config, experts, intoResidual(experts.mlpDim))),
    ...[norms.beforeAttention, norms.afterAttention ?? norms.beforeMlp].map((name) => norm(config, name, D)),
    ...(norms.afterMlp === undefined ? [] : [norms.beforeMlp, norms.afterMlp].map((name) => norm(config, name, D))),
    ...(traitsOf(config).qkNorm ? ["self_attn.q_norm", "self_attn.k_norm"].map((name) => norm(config, name, E)) : []),
  ];
  return weights.map(({ name, parts, ...spec }) => ({
    ...spec,
    name: layerWeight(layer, name),
    block: layer,
    ...(parts === undefined ? {} : { parts: parts.map((part) => layerWeight(layer, part)) }),
  }));
}

/** The router of a layer, and its experts as stacks [E, …], which a checkpoint stores expert by expert. */
function expertParams(
  config: ModelConfig,
  { count: E, mlpDim: F }: NonNullable<ModelConfig["experts"]>,
  intoResidual: ParamInit,
): ParamSpec[] {
  const D = config.modelDim;
  const names = ensure(traitsOf(config).experts, "names of experts");
  const stack = (part: ExpertPart, dims: readonly number[], axes: readonly string[], init: ParamInit): ParamSpec => ({
    name: expertStack(names, part),
    dims: [E, ...dims],
    logicalAxes: ["experts", ...axes],
    init,
    parts: Array.from({ length: E }, (_, e) => `${names.experts}.${e}.${names[part]}`),
  });
  return [
    { name: names.router, dims: [E, D], logicalAxes: [null, "embed"], init: fanIn(D) },
    stack("gate", [F, D], ["mlp", "embed"], fanIn(D)),
    stack("up", [F, D], ["mlp", "embed"], fanIn(D)),
    stack("down", [D, F], ["embed", "mlp"], intoResidual),
  ];
}

export type ExpertPart = "gate" | "up" | "down";

/** The name of the stack of a projection of all experts of a layer, within the layer. */
export const expertStack = (names: ExpertNames, part: ExpertPart): string => `${names.experts}.${names[part]}`;

/** The projections of queries, keys and values, and those of the MLP. */
function projections({ modelDim: D, heads: H, kvHeads: K, headDim: E, mlpDim: F }: ModelConfig): [ParamSpec[], ParamSpec[]] {
  // The rows of a query projection are H whole heads, which rules never divide.
  const into = (name: string, axis: string, rows: number): ParamSpec => ({
    name,
    dims: [rows, D],
    logicalAxes: [axis, "embed"],
    init: fanIn(D),
  });
  return [
    [
      into("self_attn.q_proj", `heads/${H}`, H * E),
      into("self_attn.k_proj", `kv_heads/${K}`, K * E),
      into("self_attn.v_proj", `kv_heads/${K}`, K * E),
    ],
    [into("mlp.gate_proj", "mlp", F), into("mlp.up_proj", "mlp", F)],
  ];
}

/** q, k and v in one array [3, H·E, D], gate and up in another [2, F, D]. Their first dim is never split. */
const fusedProjections = ({ modelDim: D, heads: H, headDim: E, mlpDim: F }: ModelConfig): [ParamSpec[], ParamSpec[]] => [
  [{ name: "self_attn.qkv_proj", dims: [3, H * E, D], logicalAxes: [null, `heads/${H}`, "embed"], init: fanIn(D) }],
  [{ name: "mlp.gate_up_proj", dims: [2, F, D], logicalAxes: [null, "mlp", "embed"], init: fanIn(D) }],
];
