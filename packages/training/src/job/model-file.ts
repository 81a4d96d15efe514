import { type GemmaConfig, gemmaConfigSchema } from "@lapidary/models";
import { z } from "zod";

const shape = gemmaConfigSchema.shape;

/** A model as `configs/models/*.yaml` and job files write it. */
export const modelFileSchema = z
  .strictObject({
    /** How runs call it; the file's name by default. */
    name: z.string().optional(),
    family: z.literal("gemma").default("gemma"),
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
  })
  .refine(({ heads, kv_heads }) => heads % kv_heads === 0, { path: ["kv_heads"], error: "must divide heads" });
export type ModelFile = z.infer<typeof modelFileSchema>;

export const gemmaConfigOf = (file: ModelFile): GemmaConfig => ({
  vocabSize: file.vocab_size,
  modelDim: file.model_dim,
  layers: file.layers,
  heads: file.heads,
  kvHeads: file.kv_heads,
  headDim: file.head_dim,
  mlpDim: file.mlp_dim,
  contextLength: file.context_length,
  ropeTheta: file.rope_theta,
  normEps: file.norm_eps,
});

export const modelFileOf = (name: string, config: GemmaConfig): Required<ModelFile> => ({
  name,
  family: "gemma",
  vocab_size: config.vocabSize,
  model_dim: config.modelDim,
  layers: config.layers,
  heads: config.heads,
  kv_heads: config.kvHeads,
  head_dim: config.headDim,
  mlp_dim: config.mlpDim,
  context_length: config.contextLength,
  rope_theta: config.ropeTheta,
  norm_eps: config.normEps,
});
