import { type CompileOptions, compile, type Program } from "@lapidary/compiler";
import { ensure } from "@lapidary/std";
import { compileOptions, type ResolvedJob, type StateSpec } from "@lapidary/training";
import { recipeOf } from "./recipes.js";
import { recipeRequest } from "./recipe-request.js";

/** The states of a job: what its step program takes and returns. */
export const statesOfJob = (job: ResolvedJob): readonly StateSpec[] => recipeOf(job).graphs(recipeRequest(job)).states;

/** The compiled step program of a job: workers run it, `explain` explains it and `plan` predicts its time. */
export function compileJob(job: ResolvedJob, options: Pick<CompileOptions, "verify" | "report"> = {}): Program {
  const { stepProgram, graphs } = recipeOf(job);
  const graph = ensure(graphs(recipeRequest(job)).graphs[stepProgram], stepProgram).trace();
  return compile(graph, { ...compileOptions(job, graph), ...options });
}
