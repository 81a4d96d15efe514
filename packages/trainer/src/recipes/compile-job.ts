import { type CompileOptions, compile, type Program } from "@lapidary/compiler";
import { ensure } from "@lapidary/std";
import { compileOptions, type ResolvedJob } from "@lapidary/training";
import { programsOf } from "./recipes.js";
import { recipeRequest } from "./recipe-request.js";

/** The compiled step program of a job: workers run it, `explain` explains it and `plan` predicts its time. */
export function compileJob(job: ResolvedJob, options: Pick<CompileOptions, "verify" | "report"> = {}): Program {
  const { stepProgram, graphs } = programsOf(job);
  const graph = ensure(graphs(recipeRequest(job)).graphs[stepProgram], stepProgram).trace();
  return compile(graph, { ...compileOptions(job, graph), ...options });
}
