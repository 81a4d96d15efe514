import { floatOf } from "@lapidary/std";
import { z } from "zod";

/** Values that several schemas of the API share. */

export const count = z.number().int().nonnegative();

/** The range of a `Date`. */
export const time_ms = z.number().nonnegative().max(8.64e15);

/**
 * A number that was measured or computed, and may be infinite or NaN. `jsonText` of std writes these as `"Infinity"`, `"-Infinity"` and
 * `"NaN"`, because JSON has no name for them.
 */
export const floatSchema = z.union([
  z.number(),
  z.literal(["Infinity", "-Infinity", "NaN", null]).transform((name) => floatOf(name) ?? Number.NaN),
]);

/** A rectangle of chips, the same in `pods` pods from number `pod` on. */
export const sliceSchema = z.object({ pod: count, pods: count, origin: z.array(count), dims: z.array(count) });
export type SlicePlace = z.infer<typeof sliceSchema>;
