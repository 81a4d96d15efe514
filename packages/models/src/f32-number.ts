import { f32Max, fitsF32 } from "@lapidary/std";
import { z } from "zod";

/** A number that programs store in f32: neither too large (infinity) nor too small (0). */
export const f32Number = z.number().max(f32Max).refine(fitsF32, "f32 would hold it as 0: give 0, or at least 1.18e-38");
