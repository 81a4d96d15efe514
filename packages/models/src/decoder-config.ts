import { z } from "zod";
import { gemmaConfigSchema } from "./gemma-config.js";

/** The shape of a decoder of the Llama kind: what the published MaxText runs trained. */
export const decoderConfigSchema = gemmaConfigSchema.safeExtend({
  /** Tells it from a Gemma. */
  family: z.literal("decoder"),
  /** One array for q, k and v, one for gate and up: fewer and larger products and collectives. Needs as many kv heads as heads. */
  fusedProjections: z.boolean().default(false),
});

export type DecoderConfig = Readonly<z.infer<typeof decoderConfigSchema>>;
