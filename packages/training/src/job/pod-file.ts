import { z } from "zod";

/** Chips along each dim, `16x16`. */
export const extentSchema = z.string().regex(/^[1-9]\d{0,3}(x[1-9]\d{0,3}){0,2}$/, "must be chips along each dim, such as 16x16");

/** A pod as `configs/pods/*.yaml` and job files write it. */
export const podFileSchema = z.strictObject({
  /** How runs call it; the file's name by default. */
  name: z.string().optional(),
  torus: extentSchema,
  /** Kind of chip. */
  chip: z.string(),
  /** Chips of one host board. */
  host: extentSchema,
});
export type PodFile = z.infer<typeof podFileSchema>;
