import { type CompileOptions, compile, type Program } from "@lapidary/compiler";
import { buildModel } from "@lapidary/models";
import { trainStep } from "../step/train-step.js";
import { compileOptions, type ResolvedJob } from "./resolved-job.js";

/** The program of a job's train step: what its workers run, `explain` explains and `plan` times. */
export function compileJob(job: ResolvedJob, options: Pick<CompileOptions, "verify" | "report"> = {}): Program {
  const { steps, optimizer, schedule, clip, batch, seq } = job.train;
  const graph = trainStep(buildModel(job.model.config), { steps, optimizer, schedule, clip }, { batch, seq });
  return compile(graph, { ...compileOptions(job, graph), ...options });
}
