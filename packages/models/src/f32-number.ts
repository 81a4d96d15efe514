import { f32Max, fitsF32 } from "@lapidary/std";
import { z } from "zod";

/** A number that programs hold in f32: beyond the range it would become infinite, and what is too small would become 0. */
export const f32Number = z.number().max(f32Max).refine(fitsF32, "f32 would hold it as 0: give 0, or at least 1.18e-38");
