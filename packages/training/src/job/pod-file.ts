import { z } from "zod";

/** Chips along each dim, `16x16`. */
export const extentSchema = z
  .string()
  .regex(/^[1-9]\d{0,3}(x[1-9]\d{0,3}){0,2}$/, "must be the number of chips along each dim, such as 16x16");

/** A pod in `configs/pods/*.yaml` and in job files. */
export const podFileSchema = z.strictObject({
  /** The name in reports; the file's name by default. */
  name: z.string().optional(),
  torus: extentSchema,
  /** Kind of chip. */
  chip: z.string(),
  /** Chips of one host board. */
  host: extentSchema,
});
export type PodFile = z.infer<typeof podFileSchema>;
