import { basename, dirname, isAbsolute, resolve } from "node:path";
import { LapidaryError, type Warning } from "@lapidary/std";
import { chipCount, type MeshAxis, makeMesh, parseTorus } from "@lapidary/topology";
import { z } from "zod";
import { expandBase } from "./base-changes.js";
import { jobFileSchema, pipelineDataSchema } from "./job-schema.js";
import { type JobEnvironment, type JobText, type JobValue, nameOf, podOf, sourceOf } from "./load-job.js";
import { applyOverride } from "./override.js";
import type { PodFile } from "./pod-file.js";
import { validate } from "./validate.js";
import { YamlSource } from "./yaml-source.js";

const job = jobFileSchema.shape;
const count = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);

/** What an argument can be in the rows of a pipeline. */
const rowFields = ["tokens", "targets", "mask"] as const;
export type RowField = (typeof rowFields)[number];

/** A job that trains a step which a user exported from JAX. The text of the step has the model, the loss and the optimizer. */
const stepJobFileSchema = z.strictObject({
  name: job.name,
  step: z.string().min(1).describe("Path of the StableHLO text"),
  step_hash: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "expected a SHA-256")
    .optional()
    .describe("Hash of the text, as `lapidary launch` writes it; the run refuses another text"),
  inputs: z.string().min(1).optional().describe("safetensors file with the first state and with batches; the rest is drawn from the seed"),
  tokens: z
    .union([count, z.record(z.string(), count)])
    .optional()
    .describe("Integers of a batch are drawn from 0 to this number, exclusive: for all arguments, or by name"),
  data: pipelineDataSchema.optional().describe("Rows of a pipeline of training data, for the arguments that batch names"),
  batch: z
    .record(z.string(), z.enum(rowFields))
    .default({})
    .describe(
      "What an argument of the batch is in a row of data.pipeline: its tokens, the target of each token, or 1 where a target counts",
    ),
  steps: count.default(100).describe("Steps to run"),
  loss: z
    .string()
    .min(1)
    .optional()
    .describe("Name of the scalar result that is the loss; by default the one named loss, or the first float"),
  mesh: z.record(z.string(), count).optional().describe("Axes of the mesh, for a text that has none"),
  shard: z
    .record(z.string(), z.string())
    .default({})
    .describe("Sharding of an argument: an axis or - for each dim, a+b for two axes of one dim"),
  pod: job.pod.default("v5e-256"),
  pods: job.pods.unwrap().optional(),
  slice: job.slice,
  bucket_bytes: job.bucket_bytes,
  numerics: job.numerics,
  executor: job.executor,
  workers: job.workers,
  seed: job.seed,
  stall_timeout_s: job.stall_timeout_s,
  trace_every: job.trace_every,
  priority: job.priority,
  checkpoint: job.checkpoint,
});
export type StepJobFile = z.infer<typeof stepJobFileSchema>;

/** A job of an exported step with all defaults, as plain JSON. Paths are absolute. */
export interface ResolvedStepJob extends Readonly<Omit<StepJobFile, "name" | "mesh" | "pod" | "pods" | "slice" | "step_hash">> {
  readonly name: string;
  /** Absent until the text is read. */
  readonly step_hash?: string;
  /** Axes that the job states or that its text has. Empty until the text is read. */
  readonly mesh: readonly MeshAxis[];
  readonly pod: Readonly<Required<PodFile>>;
  readonly pods: number;
  /** Of each pod. */
  readonly slice: string;
  readonly chips: number;
}

export interface LocatedStepJob {
  readonly job: ResolvedStepJob;
  readonly warnings: readonly Warning[];
}

/** Whether the text of a job file names a step. */
export function isStepJob({ text, file }: JobText): boolean {
  try {
    return Object.hasOwn(YamlSource.parse(text, file).value, "step");
  } catch (error) {
    if (error instanceof LapidaryError) return false;
    throw error;
  }
}

/** Whether a value is a job of an exported step. */
export const isStepValue = (value: Readonly<Record<string, unknown>>): boolean => typeof value["step"] === "string";

/**
 * Resolves a job of an exported step.
 *
 * @param textMesh the axes that the text of the step states, if it was read
 * @throws LapidaryError with exit code 2 for a key that is misspelt, missing or of a wrong type, 4 for a mesh that does not fill its slice
 */
export function resolveStepJob(
  given: JobText | JobValue,
  overrides: readonly string[],
  environment: JobEnvironment,
  textMesh?: readonly MeshAxis[],
): LocatedStepJob {
  const source = sourceOf(given);
  const warnings = overrides.flatMap((override) => applyOverride(stepJobFileSchema, source, override));
  const absolute = (path: string, key: string): string =>
    isAbsolute(path) ? path : resolve(source.isOverridden([key]) ? environment.base : given.base, path);
  const files = { configsDir: environment.configsDir, source, absolute };
  expandBase(source, "pod", (name) => podOf(name, files));
  const file = validate(stepJobFileSchema, source);
  const pod = podOf(file.pod, files);
  const { name = stepName(file.step), mesh: stated, inputs, step, step_hash, data, ...rest } = file;
  const axes = textMesh ?? (stated === undefined ? [] : makeMesh(stated).axes);
  const size = axes.reduce((product, axis) => product * axis.size, 1);
  const pods = file.pods ?? Math.max(1, Math.ceil(size / chipCount(parseTorus(pod.torus))));
  const slice = file.slice ?? squarest(Math.max(1, Math.floor(size / pods)));
  const chips = chipCount(parseTorus(slice)) * pods;
  if (axes.length > 0 && chips !== size)
    throw new LapidaryError({
      code: "LAP_MESH_DOES_NOT_FILL",
      message: `the mesh has ${size} chips, and ${pods === 1 ? "" : `${pods} pods of `}${slice} have ${chips}`,
      location: source.locationOf(["slice"]),
      remedy: "give pods and slice whose product is the size of the mesh",
    });
  return {
    job: {
      ...rest,
      name,
      step: absolute(step, "step"),
      ...(step_hash === undefined ? {} : { step_hash }),
      ...(inputs === undefined ? {} : { inputs: absolute(inputs, "inputs") }),
      ...(data === undefined
        ? {}
        : { data: { ...data, pipeline: environment.datasets?.get(data.pipeline) ?? absolute(data.pipeline, "data") } }),
      mesh: axes,
      pod,
      pods,
      slice,
      chips,
    },
    warnings,
  };
}

/** `runs/gpt/step.loc.mlir` → gpt: the name of the file, or of its directory if the file is called step. */
export function stepName(path: string): string {
  const own = basename(path).replace(/(?:\.loc)?\.mlir$/, "");
  return nameOf(own === "step" ? basename(dirname(resolve(path))) || own : own);
}

/** The factors of a number that are nearest to each other: 8 → 2x4. */
export function squarest(chips: number): string {
  let rows = Math.floor(Math.sqrt(chips));
  while (chips % rows !== 0) rows--;
  return `${rows}x${chips / rows}`;
}

/** The job as a file that needs no other file of `configs`. */
export const stepJobFileOf = ({ chips: _, mesh, ...job }: ResolvedStepJob): StepJobFile => ({
  ...job,
  mesh: Object.fromEntries(mesh.map(({ name, size }) => [name, size])),
});

export const stepJobFileText = (resolved: ResolvedStepJob): string => `${JSON.stringify(stepJobFileOf(resolved), null, 2)}\n`;

/** The sharding of each dim, from `data,-` or `a+b,-`. */
export const parseShard = (text: string): readonly (readonly string[])[] =>
  text.split(",").map((dim) => (dim === "-" || dim === "" ? [] : dim.split("+")));
