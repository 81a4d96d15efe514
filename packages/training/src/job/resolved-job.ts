import type { CompileOptions, LogicalAxisRules, ZeroOptions } from "@lapidary/compiler";
import type { Graph } from "@lapidary/ir";
import type { ModelConfig } from "@lapidary/models";
import { type Mesh, type MeshAxis, makeMesh } from "@lapidary/topology";
import { stringify } from "yaml";
import type { JobFile } from "./job-schema.js";
import { modelFileOf } from "./model-file.js";
import type { PodFile } from "./pod-file.js";

/**
 * A job with all defaults filled in and all files it names read: plain JSON, and all that a run depends on besides the
 * corpus and a checkpoint to start from. Paths are absolute.
 */
export interface ResolvedJob
  extends Readonly<Omit<JobFile, "name" | "model" | "pod" | "slice" | "mesh" | "strategy" | "rules" | "zero" | "train" | "data">> {
  readonly name: string;
  readonly model: { readonly name: string; readonly config: ModelConfig };
  readonly pod: Readonly<Required<PodFile>>;
  /** Of each pod, `16x16`. */
  readonly slice: string;
  /** In all pods together. */
  readonly chips: number;
  /** Major to minor; `makeMesh` takes them. */
  readonly mesh: readonly MeshAxis[];
  /** For every logical axis the mesh axes that split it, major to minor; none: replicated. */
  readonly rules: Readonly<Record<string, readonly string[]>>;
  /** ZeRO stage. */
  readonly zero: 0 | 1 | 2 | 3;
  readonly train: Readonly<Omit<JobFile["train"], "batch" | "batch_per_chip">> & { readonly batch: number; readonly seq: number };
  /** `vocab` is absent where the tokenizer is given and the job does not say how many ids it has. */
  readonly data: Readonly<JobFile["data"]>;
}

export const meshOf = (job: ResolvedJob): Mesh => makeMesh(job.mesh);

/** Axes over which ZeRO splits states: those of the batch inside a pod. Across pods they are replicated, and only gradients cross the network. */
export const zeroOptions = ({ zero, rules }: Pick<ResolvedJob, "zero" | "rules">): ZeroOptions => ({
  stage: zero,
  axes: (rules["batch"] ?? []).filter((axis) => axis !== podAxis),
});

/** The mesh axis that runs over pods. */
export const podAxis = "pod";

/** What the compiler needs to know of a job for one of its graphs: rules for axes that the graph does not have are left out. */
export function compileOptions(
  job: Pick<ResolvedJob, "mesh" | "rules" | "zero"> & Partial<Pick<ResolvedJob, "remat" | "bucket_bytes">>,
  graph: Graph,
): Omit<CompileOptions, "verify" | "report"> {
  const known = new Set(graph.values.flatMap((value) => (value.logicalAxes ?? []).map((axis) => axis?.split("/")[0])));
  const rules: LogicalAxisRules = Object.fromEntries(Object.entries(job.rules).filter(([axis]) => known.has(axis)));
  return { mesh: makeMesh(job.mesh), rules, zero: zeroOptions(job), remat: job.remat ?? "none", bucketBytes: job.bucket_bytes ?? 0 };
}

/** The job as a job file that stands alone: `resolveJob` of it gives the same job, whatever lies in `configs`. */
export function jobFileOf(job: ResolvedJob): JobFile {
  const { chips: _, model, mesh, rules, ...rest } = job;
  return {
    ...rest,
    model: modelFileOf(model.name, model.config),
    mesh: Object.fromEntries(mesh.map(({ name, size }) => [name, size])),
    rules: Object.fromEntries(Object.entries(rules).map(([axis, axes]) => [axis, axes.length === 0 ? null : [...axes]])),
  };
}

const keyOrder = [
  "name",
  "model",
  "pod",
  "pods",
  "slice",
  "mesh",
  "rules",
  "zero",
  "remat",
  "bucket_bytes",
  "numerics",
  "executor",
  "workers",
  "seed",
  "stall_after",
  "trace_every",
  "priority",
  "train",
  "data",
  "checkpoint",
  "sample",
] as const satisfies readonly (keyof JobFile)[];

/** YAML of the resolved job, in the order of the documentation. */
export function printJob(job: ResolvedJob): string {
  const file = jobFileOf(job);
  return stringify(Object.fromEntries(keyOrder.filter((key) => file[key] !== undefined).map((key) => [key, file[key]])), {
    lineWidth: 0,
    aliasDuplicateObjects: false,
  });
}
