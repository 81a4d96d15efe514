import { z } from "zod";
import { f32Number } from "./f32-number.js";

const count = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);

/** The shape of a Gemma. `heads` is a multiple of `kvHeads`: 1 is multi-query, `heads` multi-head, between them grouped attention. */
export const gemmaConfigSchema = z
  .strictObject({
    /** Rows of the embedding, which is also the output projection. */
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
    normEps: f32Number.positive().default(1e-6),
  })
  .refine((config) => config.heads % config.kvHeads === 0, { path: ["kvHeads"], error: "must divide heads" });

export type GemmaConfig = Readonly<z.infer<typeof gemmaConfigSchema>>;
