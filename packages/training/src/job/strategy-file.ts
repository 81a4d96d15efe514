import { z } from "zod";
import { rulesSchema, zeroSchema } from "./job-schema.js";

/** A sharding strategy of `configs/strategies/*.yaml`: data parallelism, ZeRO, tensor parallelism, … */
export const strategyFileSchema = z.strictObject({
  /** The name in errors; the file's name by default. */
  name: z.string().optional(),
  rules: rulesSchema,
  zero: zeroSchema.default(0),
});
export type StrategyFile = z.infer<typeof strategyFileSchema>;
