import { canonicalConfig, familyNames, type ModelConfig, modelConfigSchema, ropeScalingSchema } from "@lapidary/models";
import { z } from "zod";

const shape = modelConfigSchema.shape;
const experts = shape.experts.unwrap().shape;
const [linear, llama3] = ropeScalingSchema.options;

const ropeScaling = z
  .discriminatedUnion("kind", [
    z.strictObject({ kind: linear.shape.kind, factor: linear.shape.factor }),
    z.strictObject({
      kind: llama3.shape.kind,
      factor: llama3.shape.factor,
      low_freq_factor: llama3.shape.lowFreqFactor,
      high_freq_factor: llama3.shape.highFreqFactor,
      original_context: llama3.shape.originalContext,
    }),
  ])
  .optional();

/** A model in `configs/models/*.yaml` and in job files. The keys are those of a configuration, with underscores. */
export const modelFileSchema = z
  .strictObject({
    /** The name in reports; the file's name by default. */
    name: z.string().optional(),
    family: z
      .enum(familyNames)
      .default("gemma")
      .describe("Architecture. decoder is that of the published MaxText runs; transformers has a class for each of the others"),
    vocab_size: shape.vocabSize,
    model_dim: shape.modelDim,
    layers: shape.layers,
    heads: shape.heads,
    kv_heads: shape.kvHeads,
    head_dim: shape.headDim,
    mlp_dim: shape.mlpDim,
    context_length: shape.contextLength,
    rope_theta: shape.ropeTheta,
    norm_eps: shape.normEps,
    tied: shape.tied.describe("Whether the embedding is also the output projection; that of the family by default"),
    query_scalar: shape.queryScalar.describe("Attention scores are divided by its square root; head_dim by default"),
    attention_cap: shape.attentionCap.describe("Attention scores s become cap · tanh(s / cap)"),
    logit_cap: shape.logitCap.describe("Logits s become cap · tanh(s / cap)"),
    window: shape.window.describe("Positions that a layer of type window attends to, its own included"),
    layer_types: shape.layerTypes.describe(
      "Types of the first layers, which repeat: [window, full]; all are windows by default if there is a window",
    ),
    rope_scaling: ropeScaling.describe("Change of the frequencies of rotary embedding for longer texts"),
    window_rope: z
      .strictObject({ theta: z.number(), scaling: ropeScaling })
      .optional()
      .describe("Rotary embedding of the layers of type window; that of the others by default"),
    experts: z
      .strictObject({
        count: experts.count,
        per_token: experts.perToken,
        mlp_dim: experts.mlpDim,
        normalize: experts.normalize,
        aux_weight: experts.auxWeight,
        every: experts.every,
        dense_layers: experts.denseLayers,
      })
      .optional()
      .describe("Mixture of experts in the place of the MLP of every n-th layer"),
    fused_projections: shape.fusedProjections.describe("For a decoder: one array for q, k and v, and one for gate and up"),
  })
  .superRefine((file, context) => {
    const parsed = modelConfigSchema.safeParse(configFieldsOf(file));
    for (const { path, message } of parsed.error?.issues ?? [])
      context.addIssue({ code: "custom", path: path.map((key) => (typeof key === "string" ? snakeCase(key) : key)), message });
  });
export type ModelFile = z.infer<typeof modelFileSchema>;

const snakeCase = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const camelCase = (key: string): string => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** A copy whose keys are renamed at all depths, without keys that have no value. */
function renameKeys(value: unknown, rename: (key: string) => string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (inner === undefined ? [] : [[rename(key), renameKeys(inner, rename)]])),
  );
}

const configFieldsOf = ({ name: _, ...fields }: ModelFile): unknown => renameKeys(fields, camelCase);

export const modelConfigOf = (file: ModelFile): ModelConfig => canonicalConfig(modelConfigSchema.parse(configFieldsOf(file)));

/** The keys of the file by name; those without a value are absent. */
export const modelFileOf = (name: string, config: ModelConfig): ModelFile =>
  ({ name, family: "gemma", ...(renameKeys(canonicalConfig(config), snakeCase) as object) }) as ModelFile;
