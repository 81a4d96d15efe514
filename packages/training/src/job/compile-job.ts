import { type CompileOptions, compile, type Program } from "@lapidary/compiler";
import type { Graph } from "@lapidary/ir";
import { buildModel } from "@lapidary/models";
import { trainStep } from "../step/train-step.js";
import { buildOptionsOf } from "./build-options.js";
import { lossChunksOf } from "./loss-chunks.js";
import { compileOptions, type ResolvedJob } from "./resolved-job.js";

/** The train step of a pretraining with the model, mesh and rules of a job, before sharding. */
export function traceJob(job: ResolvedJob): Graph {
  const { steps, optimizer, schedule, clip, batch, seq, microbatches } = job.train;
  const options = { chunks: lossChunksOf(job), microbatches };
  return trainStep(buildModel(job.model.config, buildOptionsOf(job)), { steps, optimizer, schedule, clip }, { batch, seq }, options);
}

/** The compiled train step of a pretraining. `compileJob` of `@lapidary/trainer/recipes` compiles the step of every recipe. */
export function compileJob(job: ResolvedJob, options: Pick<CompileOptions, "verify" | "report"> = {}): Program {
  const graph = traceJob(job);
  return compile(graph, { ...compileOptions(job, graph), ...options });
}
