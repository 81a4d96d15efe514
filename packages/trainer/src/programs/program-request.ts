import type { ViewMachine } from "@lapidary/telemetry";
import type { ResolvedJob } from "@lapidary/training";
import type { RecipeRequest } from "../recipes/recipe.js";
import { recipeRequest } from "../recipes/recipe-request.js";

/** Everything that decides the programs of a run, as JSON. Its text is the key of the cache. */
export interface ProgramRequest
  extends RecipeRequest,
    Pick<ResolvedJob, "mesh" | "slice" | "rules" | "unapplied" | "zero" | "remat" | "bucket_bytes"> {
  /** The chip and pods for the timing of the step. Without it no view of the program is made. */
  readonly machine?: ViewMachine;
  readonly gradient_sums?: "scattered" | "whole";
}

export function programRequest(job: ResolvedJob): ProgramRequest {
  const { mesh, slice, rules, unapplied, zero, remat, bucket_bytes, train } = job;
  return {
    mesh,
    slice,
    rules,
    ...(unapplied === undefined ? {} : { unapplied }),
    zero,
    remat,
    bucket_bytes,
    ...(train.gradient_sums === undefined ? {} : { gradient_sums: train.gradient_sums }),
    ...recipeRequest(job),
  };
}
