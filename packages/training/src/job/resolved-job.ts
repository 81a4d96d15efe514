import { type CompileOptions, type LogicalAxisRules, logicalNames, type ZeroOptions } from "@lapidary/compiler";
import type { Graph } from "@lapidary/ir";
import type { ModelConfig } from "@lapidary/models";
import { type Mesh, type MeshAxis, makeMesh } from "@lapidary/topology";
import { stringify } from "yaml";
import { podAxis } from "./axis-names.js";
import type { ResolvedComparison } from "./comparison-job.js";
import type { JobFile, RecipeName, RecipePath } from "./job-schema.js";
import { modelFileOf } from "./model-file.js";
import type { PodFile } from "./pod-file.js";

/**
 * A job with all defaults, and with the contents of all files that it names, as plain JSON. In addition, a run depends only on the
 * corpus and on the checkpoint of `train.init`. Paths are absolute.
 */
export interface ResolvedJob
  extends Readonly<
      Omit<
        JobFile,
        | "name"
        | "recipe"
        | "init"
        | "candidate"
        | "baseline"
        | "judge"
        | "orders"
        | "compare"
        | "model"
        | "pod"
        | "slice"
        | "mesh"
        | "strategy"
        | "rules"
        | "unapplied"
        | "zero"
        | "train"
        | "data"
      >
    >,
    Partial<ResolvedComparison> {
  readonly name: string;
  /** Absent: pretraining. */
  readonly recipe?: Exclude<RecipeName, "pretrain"> | RecipePath;
  readonly model: { readonly name: string; readonly config: ModelConfig };
  readonly pod: Readonly<Required<PodFile>>;
  /** Of each pod, `16x16`. */
  readonly slice: string;
  /** In all pods together. */
  readonly chips: number;
  /** Major to minor; `makeMesh` takes them. */
  readonly mesh: readonly MeshAxis[];
  /** For every logical axis the mesh axes that split it, major to minor. An empty list replicates. */
  readonly rules: Readonly<Record<string, readonly string[]>>;
  /** Rules of the defaults or of a strategy that `rules` leaves out: no part of their mesh axes divides the dims, or the mesh lacks the axes. */
  readonly unapplied?: Readonly<Record<string, readonly string[]>>;
  /** ZeRO stage. */
  readonly zero: 0 | 1 | 2 | 3;
  readonly train: Readonly<Omit<NonNullable<JobFile["train"]>, "batch" | "batch_per_chip">> & {
    readonly batch: number;
    readonly seq: number;
  };
  /** `vocab` is absent if the tokenizer is given and the job does not set its number of ids. */
  readonly data: Readonly<JobFile["data"]>;
}

/** Whether each attempt of a run reads the weights of `train.init`, and not only the first: under an adapter, or as the frozen reference. */
export const needsInit = ({ recipe, lora }: Pick<ResolvedJob, "recipe" | "lora">): boolean =>
  lora !== undefined || recipe === "rl" || recipe === "dpo";

/** Whether a job trains on rows of examples. If not, it trains on a corpus. */
export const trainsOnExamples = ({ data }: Pick<ResolvedJob, "data">): boolean => data.train !== undefined;

/** Whether a job trains on the sources of a pipeline. */
export const trainsOnPipeline = ({ data }: Pick<ResolvedJob, "data">): boolean => data.pipeline !== undefined;

export const meshOf = (job: Pick<ResolvedJob, "mesh">): Mesh => makeMesh(job.mesh);

/**
 * Axes over which ZeRO splits states: those of the batch and of the sequence, inside a pod. Each chip along them has other tokens, and the
 * same weights. Pods replicate states, so only gradients use the network.
 */
export const zeroOptions = ({ zero, rules }: Pick<ResolvedJob, "zero" | "rules">): ZeroOptions => ({
  stage: zero,
  axes: [...new Set([...(rules["batch"] ?? []), ...(rules["seq"] ?? [])])].filter((axis) => axis !== podAxis),
});

type GradientSumsKey = Pick<ResolvedJob["train"], "gradient_sums">;

/** The compiler options of a job for one of its graphs. Rules for axes that the graph does not have are omitted. */
export function compileOptions(
  job: Pick<ResolvedJob, "mesh" | "rules" | "zero"> &
    Partial<Pick<ResolvedJob, "unapplied" | "remat" | "bucket_bytes">> & {
      /** Of a job, or of a request without the job's other keys. */
      readonly train?: GradientSumsKey;
      readonly gradient_sums?: GradientSumsKey["gradient_sums"];
    },
  graph: Graph,
): Omit<CompileOptions, "verify" | "report"> {
  const known = new Set(graph.values.flatMap(logicalNames));
  const ofGraph = (rules: ResolvedJob["rules"]): LogicalAxisRules =>
    Object.fromEntries(Object.entries(rules).filter(([axis]) => known.has(axis)));
  const has = (name: string): boolean => job.mesh.some((axis) => axis.name === name);
  const undivided = Object.fromEntries(Object.entries(job.unapplied ?? {}).map(([logical, axes]) => [logical, axes.filter(has)]));
  const gradientSums = job.gradient_sums ?? job.train?.gradient_sums;
  return {
    mesh: makeMesh(job.mesh),
    rules: ofGraph(job.rules),
    undivided: ofGraph(undivided),
    zero: zeroOptions(job),
    ...(gradientSums === undefined ? {} : { gradientSums }),
    remat: job.remat ?? "none",
    bucketBytes: job.bucket_bytes ?? 0,
  };
}

/**
 * The job as a self-contained job file: `resolveJob` returns the same job from it, without any file of `configs`. A rule that was not applied
 * is under `unapplied`, not null under `rules`: null means that the user wants a whole dim.
 */
export function jobFileOf(job: ResolvedJob): JobFile {
  const { chips: _, model, mesh, rules, unapplied, data, train, compare, ...rest } = job;
  return {
    ...rest,
    // A comparison has no optimizer and no checkpoints: `compare` has its rows and tokens.
    ...(compare === undefined
      ? { train }
      : { compare: { ...compare, batch: train.batch, seq: train.seq }, checkpoint: undefined as never }),
    data: compare !== undefined ? promptsOnly(data) : trainsOnExamples(job) || trainsOnPipeline(job) ? withoutCorpus(data) : data,
    model: modelFileOf(model.name, model.config),
    mesh: Object.fromEntries(mesh.map(({ name, size }) => [name, size])),
    rules: Object.fromEntries(
      Object.entries(rules).flatMap(([axis, axes]) =>
        Object.hasOwn(unapplied ?? {}, axis) ? [] : [[axis, axes.length === 0 ? null : [...axes]]],
      ),
    ),
    ...(unapplied === undefined
      ? {}
      : { unapplied: Object.fromEntries(Object.entries(unapplied).map(([axis, axes]) => [axis, [...axes]])) }),
  };
}

/** Without the keys of a corpus, which a job that trains on examples or on a pipeline refuses. */
function withoutCorpus({ corpus: _, text_field: __, max_bytes: ___, vocab: ____, ...data }: ResolvedJob["data"]): JobFile["data"] {
  return data as JobFile["data"];
}

/** The keys of a comparison. */
const promptsOnly = ({ eval: prompts }: ResolvedJob["data"]): JobFile["data"] => ({ eval: prompts }) as JobFile["data"];

const keyOrder = [
  "name",
  "recipe",
  "recipe_hash",
  "options",
  "sets",
  "model",
  "pod",
  "pods",
  "slice",
  "mesh",
  "replicate",
  "rules",
  "unapplied",
  "zero",
  "remat",
  "loss_chunks",
  "attention",
  "moe",
  "context",
  "pipeline",
  "bucket_bytes",
  "numerics",
  "executor",
  "workers",
  "seed",
  "stall_timeout_s",
  "trace_every",
  "priority",
  "train",
  "data",
  "lora",
  "reward",
  "rl",
  "dpo",
  "reward_model",
  "candidate",
  "baseline",
  "judge",
  "orders",
  "compare",
  "checkpoint",
  "sample",
] as const satisfies readonly (keyof JobFile)[];

/** YAML of the resolved job, in the order of the documentation. */
export const printJob = (job: ResolvedJob): string => printJobFile(ordered(jobFileOf(job)));

/** YAML of a job file given as plain values. */
export const printJobFile = (file: unknown): string => stringify(file, { lineWidth: 0, aliasDuplicateObjects: false });

/** JSON of the resolved job, in the order of the documentation: the same job file as that of `printJob`. */
export const jobFileText = (job: ResolvedJob): string => `${JSON.stringify(ordered(jobFileOf(job)), null, 2)}\n`;

const ordered = (file: JobFile): Readonly<Record<string, unknown>> =>
  Object.fromEntries(keyOrder.filter((key) => file[key] !== undefined).map((key) => [key, file[key]]));
