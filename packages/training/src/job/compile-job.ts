import { type CompileOptions, compile, type Program } from "@lapidary/compiler";
import type { Graph } from "@lapidary/ir";
import { buildModel } from "@lapidary/models";
import { trainStep } from "../step/train-step.js";
import { compileOptions, type ResolvedJob } from "./resolved-job.js";

/** The train step of a job as a graph, before anything is sharded. */
export function traceJob(job: ResolvedJob): Graph {
  const { steps, optimizer, schedule, clip, batch, seq } = job.train;
  return trainStep(buildModel(job.model.config), { steps, optimizer, schedule, clip }, { batch, seq });
}

/** The program of a job's train step: what its workers run, `explain` explains and `plan` times. */
export function compileJob(job: ResolvedJob, options: Pick<CompileOptions, "verify" | "report"> = {}): Program {
  const graph = traceJob(job);
  return compile(graph, { ...compileOptions(job, graph), ...options });
}
