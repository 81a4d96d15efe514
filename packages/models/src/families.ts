/** The module of a router, and those of one expert below it. */
export interface ExpertNames {
  readonly router: string;
  readonly experts: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

/** What distinguishes a family of models from the others. `decoder.ts` builds every family from these values. */
export interface FamilyTraits {
  /** For people. */
  readonly label: string;
  /** A normalised value is multiplied by the weight of the norm (`plain`), or by 1 + weight (`one_plus`). */
  readonly norm: "plain" | "one_plus";
  /** Whether the output of attention and of the MLP is normalised too, before it is added to the residual stream. */
  readonly postNorms: boolean;
  /** Whether each head of queries and keys is normalised before rotary embedding. */
  readonly qkNorm: boolean;
  readonly activation: "gelu_tanh" | "silu";
  /** Whether embeddings are multiplied by the square root of the width. */
  readonly scaledEmbedding: boolean;
  /** Whether the embedding is also the output projection; a configuration can differ. */
  readonly tied: boolean;
  /** The names of a layer's router and experts in a checkpoint; undefined if a family has no experts. */
  readonly experts?: ExpertNames;
  /** The keys of a configuration that only some families have. A checkpoint of another family could not express them. */
  readonly options: readonly FamilyOption[];
}

export const familyOptions = [
  "tied",
  "queryScalar",
  "attentionCap",
  "logitCap",
  "window",
  "layerTypes",
  "ropeScaling",
  "windowRope",
  "fusedProjections",
  "experts",
] as const;
type FamilyOption = (typeof familyOptions)[number];

const gemma1: FamilyTraits = {
  label: "Gemma 1",
  norm: "one_plus",
  postNorms: false,
  qkNorm: false,
  activation: "gelu_tanh",
  scaledEmbedding: true,
  tied: true,
  options: [],
};

const llama: FamilyTraits = {
  label: "Llama",
  norm: "plain",
  postNorms: false,
  qkNorm: false,
  activation: "silu",
  scaledEmbedding: false,
  tied: false,
  options: ["tied", "ropeScaling"],
};

/** The families. Windows, caps, rotary bases and their scaling are values of a configuration, not of a family. */
export const families = {
  gemma: gemma1,
  gemma2: {
    ...gemma1,
    label: "Gemma 2",
    postNorms: true,
    options: ["tied", "queryScalar", "attentionCap", "logitCap", "window", "layerTypes", "ropeScaling"],
  },
  gemma3: {
    ...gemma1,
    label: "Gemma 3",
    postNorms: true,
    qkNorm: true,
    options: ["tied", "queryScalar", "logitCap", "window", "layerTypes", "ropeScaling", "windowRope"],
  },
  llama,
  mistral: { ...llama, label: "Mistral", options: ["tied", "window", "ropeScaling"] },
  qwen3: { ...llama, label: "Qwen 3", qkNorm: true, options: ["tied", "window", "layerTypes", "ropeScaling"] },
  mixtral: {
    ...llama,
    label: "Mixtral",
    experts: { router: "block_sparse_moe.gate", experts: "block_sparse_moe.experts", gate: "w1", up: "w3", down: "w2" },
    options: ["tied", "window", "ropeScaling", "experts"],
  },
  qwen3moe: {
    ...llama,
    label: "Qwen 3 MoE",
    qkNorm: true,
    experts: { router: "mlp.gate", experts: "mlp.experts", gate: "gate_proj", up: "up_proj", down: "down_proj" },
    options: ["tied", "window", "ropeScaling", "experts"],
  },
  /** The decoder of the published MaxText runs: a Llama whose norms multiply by 1 + weight. */
  decoder: { ...llama, label: "Decoder", norm: "one_plus", options: familyOptions.filter((option) => option !== "experts") },
} as const satisfies Record<string, FamilyTraits>;

export type FamilyName = keyof typeof families;

export const familyNames = Object.keys(families) as [FamilyName, ...FamilyName[]];
