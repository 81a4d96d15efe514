import { gemmaConfigSchema, isDecoder, type ModelConfig } from "@lapidary/models";
import { z } from "zod";

const shape = gemmaConfigSchema.shape;

/** A model in `configs/models/*.yaml` and in job files. */
export const modelFileSchema = z
  .strictObject({
    /** The name in reports; the file's name by default. */
    name: z.string().optional(),
    /** `decoder` is a Llama architecture, for `plan`, `explain` and `export`. */
    family: z.enum(["gemma", "decoder"]).default("gemma"),
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
    /** For a decoder: one array for q, k and v, and one for gate and up. */
    fused_projections: z.boolean().optional(),
  })
  .refine(({ heads, kv_heads }) => heads % kv_heads === 0, { path: ["kv_heads"], error: "must divide heads" })
  .refine(({ family, fused_projections: fused, heads, kv_heads }) => fused !== true || (family === "decoder" && heads === kv_heads), {
    path: ["fused_projections"],
    error: "requires family: decoder and kv_heads equal to heads",
  });
export type ModelFile = z.infer<typeof modelFileSchema>;

export const modelConfigOf = (file: ModelFile): ModelConfig => ({
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
  ...(file.family === "decoder" ? { family: file.family, fusedProjections: file.fused_projections ?? false } : {}),
});

export const modelFileOf = (name: string, config: ModelConfig): ModelFile => ({
  name,
  family: isDecoder(config) ? config.family : "gemma",
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
  ...(isDecoder(config) ? { fused_projections: config.fusedProjections } : {}),
});
