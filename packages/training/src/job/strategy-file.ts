import { z } from "zod";
import { rulesSchema, zeroSchema } from "./job-schema.js";

/** A way to lay training over a mesh, as `configs/strategies/*.yaml` write it: data, ZeRO, tensor parallelism, … */
export const strategyFileSchema = z.strictObject({
  /** How others call it; the file's name by default. */
  name: z.string().optional(),
  rules: rulesSchema,
  zero: zeroSchema.default(0),
});
export type StrategyFile = z.infer<typeof strategyFileSchema>;
