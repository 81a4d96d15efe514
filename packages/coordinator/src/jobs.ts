import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { canonicalJson, type JsonValue, must } from "@lapidary/std";
import { parseTorus, printMesh } from "@lapidary/topology";
import { loadJob, meshOf, printJob, type ResolvedJob, resolveJob } from "@lapidary/training";
import type { z } from "zod";
import type { submitRequestSchema } from "./api.js";
import { checkSliceFits, type SliceRequest } from "./pods.js";
import { type Run, runFiles } from "./runs/run.js";
import type { NewRun } from "./runs/run-store.js";

const configsDir = (root: string): string => join(root, "configs");

/**
 * The job that a request means.
 *
 * @throws LapidaryError with exit code 2 for what is misspelt or missing, 4 for what does not fit its chips
 */
export function acceptJob(request: z.output<typeof submitRequestSchema>, root: string): ResolvedJob {
  const { yaml, path, overrides, base = root } = request;
  const environment = { configsDir: configsDir(root), base };
  const job =
    path === undefined
      ? resolveJob({ text: must(yaml, "yaml"), file: "job", base }, overrides, environment)
      : loadJob(path, overrides, environment);
  checkSliceFits(sliceOf(job));
  return job;
}

/** What the run store is told of a job. */
export function describeJob(job: ResolvedJob): Omit<NewRun, "name" | "priority" | "queue_id"> {
  return {
    jobYaml: printJob(job),
    fingerprint: createHash("sha256")
      .update(canonicalJson({ ...job, priority: 0 } as unknown as JsonValue))
      .digest("hex"),
    job: job as unknown as JsonValue,
    model: job.model.name,
    pod: sliceOf(job).kind.name,
    mesh: printMesh(meshOf(job)),
    chips: job.chips,
    steps: job.train.steps,
  };
}

/** The job of a run, from its `job.yaml`, which stands alone. */
export function jobOfRun(run: Run, root: string): ResolvedJob {
  const file = join(run.directory, runFiles.job);
  return resolveJob({ text: readFileSync(file, "utf8"), file, base: run.directory }, [], {
    configsDir: configsDir(root),
    base: run.directory,
  });
}

export function sliceOf({ pod, pods, slice }: ResolvedJob): SliceRequest {
  return { kind: { name: pod.name ?? pod.torus, torus: parseTorus(pod.torus) }, dims: parseTorus(slice).dims, pods };
}
