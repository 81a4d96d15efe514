import { z } from "zod";
import { gemmaConfigSchema } from "./gemma-config.js";

/** The shape of a Llama decoder, as in the published MaxText runs. */
export const decoderConfigSchema = gemmaConfigSchema.safeExtend({
  /** Distinguishes a decoder from a Gemma. */
  family: z.literal("decoder"),
  /** One array for q, k and v, one for gate and up: fewer and larger matmuls and collectives. Requires kvHeads = heads. */
  fusedProjections: z.boolean().default(false),
});

export type DecoderConfig = Readonly<z.infer<typeof decoderConfigSchema>>;
