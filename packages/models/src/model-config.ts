import { z } from "zod";
import { f32Number } from "./f32-number.js";
import { families, familyNames, familyOptions, type FamilyName, type FamilyTraits } from "./families.js";

const count = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);

const positive = f32Number.positive();

/** A change of the frequencies of rotary embedding, so that a model reads longer texts than it was trained on. */
export const ropeScalingSchema = z.discriminatedUnion("kind", [
  /** Every frequency is divided by the factor. */
  z.strictObject({ kind: z.literal("linear"), factor: positive }),
  /** Low frequencies are divided by the factor, high ones stay, and those between are interpolated (Llama 3.1). */
  z
    .strictObject({
      kind: z.literal("llama3"),
      factor: positive,
      lowFreqFactor: positive,
      highFreqFactor: positive,
      originalContext: count,
    })
    .refine((scaling) => scaling.highFreqFactor > scaling.lowFreqFactor, {
      path: ["highFreqFactor"],
      error: "must be larger than lowFreqFactor",
    }),
]);

/** A mixture of experts in the place of the MLP of some layers. */
const expertsSchema = z
  .strictObject({
    /** Experts of a layer. */
    count,
    /** Experts that compute each token. */
    perToken: count,
    /** Width of each of gate and up of an expert. */
    mlpDim: count,
    /** Whether the weights of the chosen experts of a token are divided by their sum. */
    normalize: z.boolean().default(true),
    /** Weight of the auxiliary loss that balances the experts; 0 for none. */
    auxWeight: f32Number.min(0).default(0),
    /** Every n-th layer has experts. */
    every: count.default(1),
    /** Layers that have an MLP all the same. */
    denseLayers: z.array(z.number().int().min(0)).default([]),
  })
  .refine((experts) => experts.perToken <= experts.count, { path: ["perToken"], error: "must be at most the number of experts" });

/** A checkpoint of Mixtral has no keys for other values. */
const isMixtral = (mlpDim: number, { normalize, every, denseLayers, ...experts }: z.infer<typeof expertsSchema>): boolean =>
  normalize && every === 1 && denseLayers.length === 0 && experts.mlpDim === mlpDim;

/** `full`: a position attends to all earlier positions. `window`: to the last `window` positions, itself included. */
const layerTypeSchema = z.enum(["full", "window"]);

/** The shape of a model. `heads` is a multiple of `kvHeads`: 1 is multi-query, `heads` multi-head, between them grouped attention. */
export const modelConfigSchema = z
  .strictObject({
    /** Gemma 1 by default. */
    family: z.enum(familyNames).optional(),
    /** Rows of the embedding. */
    vocabSize: count,
    /** Width of the residual stream. */
    modelDim: count,
    layers: count,
    /** Query heads. */
    heads: count,
    /** Key and value heads. */
    kvHeads: count,
    headDim: count.refine((n) => n % 2 === 0, "must be even: rotary embedding rotates pairs"),
    /** Width of each of gate and up. */
    mlpDim: count,
    /** Maximum sequence length. */
    contextLength: count,
    ropeTheta: f32Number.gt(1).default(10000),
    normEps: positive.default(1e-6),
    /** Whether the embedding is also the output projection; that of the family by default. */
    tied: z.boolean().optional(),
    /** Attention scores are divided by its square root; `headDim` by default. */
    queryScalar: positive.optional(),
    /** Attention scores s become cap · tanh(s / cap). */
    attentionCap: positive.optional(),
    /** Logits s become cap · tanh(s / cap). */
    logitCap: positive.optional(),
    /** Positions that a layer of type `window` attends to. */
    window: count.optional(),
    /** The types of the first layers, which repeat; all are windows by default if there is a window. */
    layerTypes: z.array(layerTypeSchema).min(1).optional(),
    ropeScaling: ropeScalingSchema.optional(),
    /** Rotary embedding of the layers of type `window`; that of the others by default. */
    windowRope: z.strictObject({ theta: f32Number.gt(1), scaling: ropeScalingSchema.optional() }).optional(),
    /** One array for q, k and v, one for gate and up: fewer and larger matmuls and collectives. Requires kvHeads = heads. */
    fusedProjections: z.boolean().optional(),
    experts: expertsSchema.optional(),
  })
  .superRefine((config, context) => {
    const { label, options }: FamilyTraits = families[config.family ?? "gemma"];
    for (const option of familyOptions)
      if (config[option] !== undefined && !options.includes(option) && !(option === "fusedProjections" && config[option] === false))
        context.addIssue({ code: "custom", path: [option], message: `${label} has no such option`, input: config[option] });
  })
  .refine((config) => config.heads % config.kvHeads === 0, { path: ["kvHeads"], error: "must divide heads" })
  .refine((config) => config.fusedProjections !== true || config.heads === config.kvHeads, {
    path: ["fusedProjections"],
    error: "requires kvHeads equal to heads",
  })
  .refine((config) => config.experts !== undefined || (families[config.family ?? "gemma"] as FamilyTraits).experts === undefined, {
    path: ["experts"],
    error: "is missing, and the family is a mixture of experts",
  })
  .refine(({ family, mlpDim, experts }) => family !== "mixtral" || experts === undefined || isMixtral(mlpDim, experts), {
    path: ["experts"],
    error: "must be in every layer, be as wide as mlpDim, and have normalized weights: those of Mixtral are",
  })
  .refine((config) => config.window !== undefined || !(config.layerTypes ?? []).includes("window"), {
    path: ["window"],
    error: "is missing, and layerTypes has windows",
  })
  .refine((config) => config.window !== undefined || config.windowRope === undefined, {
    path: ["window"],
    error: "is missing, and windowRope has no other use",
  });

export type ModelConfig = Readonly<z.infer<typeof modelConfigSchema>>;
export type RopeScaling = Readonly<z.infer<typeof ropeScalingSchema>>;
export type LayerType = z.infer<typeof layerTypeSchema>;

/** The rotary embedding of a layer. */
export interface Rope {
  readonly theta: number;
  readonly scaling?: RopeScaling | undefined;
}

export const familyOf = ({ family }: Pick<ModelConfig, "family">): FamilyName => family ?? "gemma";
export const traitsOf = (config: Pick<ModelConfig, "family">): FamilyTraits => families[familyOf(config)];

/** Whether the embedding is also the output projection. */
export const isTied = (config: Pick<ModelConfig, "family" | "tied">): boolean => config.tied ?? traitsOf(config).tied;

export const layerTypeOf = ({ window, layerTypes }: ModelConfig, layer: number): LayerType =>
  layerTypes?.[layer % layerTypes.length] ?? (window === undefined ? "full" : "window");

/** The experts of a layer; undefined if it has an MLP. */
export const expertsOf = ({ experts }: ModelConfig, layer: number): ModelConfig["experts"] =>
  experts !== undefined && (layer + 1) % experts.every === 0 && !experts.denseLayers.includes(layer) ? experts : undefined;

/** The number of layers with experts. */
export const expertLayersOf = (config: ModelConfig): number =>
  Array.from({ length: config.layers }, (_, layer) => expertsOf(config, layer)).filter((experts) => experts !== undefined).length;

export const layerTypesOf = (config: ModelConfig): LayerType[] =>
  Array.from({ length: config.layers }, (_, layer) => layerTypeOf(config, layer));

/** What distinguishes a layer from others of a model: its attention, and whether it has experts. */
export const layerKindOf = (config: ModelConfig, layer: number): string =>
  `${layerTypeOf(config, layer)} ${expertsOf(config, layer) === undefined ? "dense" : "experts"}`;

/** The smallest number of layers after which the kinds of layers repeat: windows, and experts. All layers if they do not repeat. */
export function layerPeriodOf(config: ModelConfig): number {
  const kinds = Array.from({ length: config.layers }, (_, layer) => layerKindOf(config, layer));
  const period = kinds.findIndex((_, n) => n > 0 && kinds.every((kind, layer) => kind === kinds[layer % n]));
  return period < 0 ? config.layers : period;
}

/** The rotary embedding of the layers of a type. */
export const ropeOf = ({ ropeTheta, ropeScaling, windowRope }: ModelConfig, type: LayerType): Rope =>
  type === "window" && windowRope !== undefined ? windowRope : { theta: ropeTheta, scaling: ropeScaling };

/**
 * The configuration without what it says twice: equal models have equal canonical configurations. Types of layers have their
 * shortest period, and values that the defaults give are absent.
 */
export function canonicalConfig(config: ModelConfig): ModelConfig {
  const types = layerTypesOf(config);
  const hasWindow = types.includes("window");
  const period = types.findIndex((_, n) => n > 0 && types.every((type, layer) => type === types[layer % n]));
  const { family, tied, queryScalar, layerTypes: _, window, windowRope, fusedProjections, ...rest } = config;
  const usesOtherRope =
    windowRope !== undefined && hasWindow && JSON.stringify(ropeKey(windowRope)) !== JSON.stringify(ropeKey(ropeOf(config, "full")));
  return {
    ...(family === undefined || family === "gemma" ? {} : { family }),
    ...(Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as typeof rest),
    ...(isTied(config) === traitsOf(config).tied ? {} : { tied: isTied(config) }),
    ...(queryScalar === undefined || queryScalar === config.headDim ? {} : { queryScalar }),
    ...(hasWindow ? { window } : {}),
    ...(hasWindow && types.includes("full") ? { layerTypes: types.slice(0, period < 0 ? types.length : period) } : {}),
    ...(usesOtherRope ? { windowRope } : {}),
    ...(family === "decoder" ? { fusedProjections: fusedProjections ?? false } : {}),
  };
}

const ropeKey = ({ theta, scaling }: Rope): readonly unknown[] => [theta, scaling === undefined ? [] : Object.entries(scaling).sort()];
