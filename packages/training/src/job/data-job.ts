import { basename, dirname, extname, resolve } from "node:path";
import { LapidaryError } from "@lapidary/std";
import { z } from "zod";
import { jobNamePattern } from "./job-schema.js";
import { type JobText, readJobText } from "./load-job.js";
import { YamlSource } from "./yaml-source.js";

const dataJobSchema = z.strictObject({
  recipe: z.literal("data"),
  name: z.string().regex(jobNamePattern),
  /** Absolute path of the file of a data pipeline. */
  pipeline: z.string().startsWith("/"),
  /** Processes that compute; one for each core by default. */
  workers: z.number().int().positive().max(1024).optional(),
  priority: z.number().int().min(-1000).max(1000).default(0),
});

/** A job that runs a pipeline of training data. It needs no chips. */
export type DataJob = Readonly<z.output<typeof dataJobSchema>>;

const isDataJob = (value: unknown): boolean => typeof value === "object" && value !== null && "recipe" in value && value.recipe === "data";

/** The data job that a submitted value is; undefined for a job on chips. @throws LAP_CONFIG_VALUE for a data job with a mistake */
export function dataJobIn(value: unknown): DataJob | undefined {
  if (!isDataJob(value)) return undefined;
  const parsed = dataJobSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new LapidaryError({
    code: "LAP_CONFIG_VALUE",
    message: `a data job has a mistake: ${issue?.message ?? "unknown"}`,
    location: issue?.path.join(".") ?? "job",
    remedy: 'send { "recipe": "data", "name": NAME, "pipeline": the absolute path of a pipeline file }',
  });
}

/** The data job of a pipeline file. @param path relative to `base` */
export function dataJobOf(path: string, base: string, priority = 0): DataJob {
  return { recipe: "data", name: nameOf(path), pipeline: resolve(base, path), priority };
}

/** Whether a text is that of a data pipeline: a mapping with the keys `sources` and `stages`. */
export function isDataPipeline({ text, file }: JobText): boolean {
  try {
    const { value } = YamlSource.parse(text, file);
    return Object.hasOwn(value, "sources") && Object.hasOwn(value, "stages");
  } catch (error) {
    if (error instanceof LapidaryError) return false;
    throw error;
  }
}

/** The output directory of the file of a data pipeline. The data pipeline itself checks its file. @throws LAP_JOB_FILE, LAP_DATA_PIPELINE */
export function outputOf({ pipeline }: DataJob): string {
  const { text, file } = readJobText(pipeline, "/");
  const { out } = YamlSource.parse(text, file).value;
  if (typeof out === "string") return resolve(dirname(pipeline), out);
  throw new LapidaryError({
    code: "LAP_DATA_PIPELINE",
    message: "a data pipeline needs the key out",
    location: pipeline,
    remedy: "name the file of a data pipeline, such as configs/data/installed-docs.yaml",
  });
}

function nameOf(path: string): string {
  const name = basename(path, extname(path))
    .toLowerCase()
    .replace(/[^a-z0-9._-]/g, "-")
    .slice(0, 64);
  return jobNamePattern.test(name) ? name : "data";
}
