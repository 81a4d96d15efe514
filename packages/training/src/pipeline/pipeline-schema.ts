import { z } from "zod";
import { jobFileSchema } from "../job/job-schema.js";

/** With the names of pipeline and job, the name of a run has at most 64 characters. Overrides separate the name of a job from its keys with a dot. */
const partPattern = /^[a-z][a-z0-9_-]{0,27}$/;
export const partSchema = z.string().regex(partPattern, "must be 1 to 28 of a-z 0-9 _ - and begin with a letter");

/** @param job the schema of a job inside the pipeline file */
const pipelineSchemaOf = <T extends z.ZodType>(job: T) =>
  z.strictObject({
    name: partSchema.optional().describe("The beginning of the names of its runs; the name of the file by default"),
    jobs: z
      .record(
        partSchema,
        z
          .strictObject({
            needs: z.array(partSchema).max(64).default([]).describe("Jobs of this pipeline that must be done before this job starts"),
            file: z.string().min(1).optional().describe("A job file, relative to this file"),
            job: job.optional().describe("The keys of a job file; an alternative to file"),
            data: z
              .string()
              .min(1)
              .optional()
              .describe(
                "The file of a data pipeline, relative to this file; an alternative to file. `data.pipeline` of a job that needs this one may be the name of this job",
              ),
            overrides: z
              .record(z.string(), z.unknown())
              .default({})
              .describe("Keys of the job with their values, such as train.steps: 20; paths are relative to this file"),
          })
          .refine(({ file, job: own, data }) => [file, own, data].filter((given) => given !== undefined).length === 1, {
            error: "give one of file, job and data",
          })
          .refine(({ data, overrides }) => data === undefined || Object.keys(overrides).length === 0, {
            error: "a data pipeline has no overrides",
            path: ["overrides"],
          }),
      )
      .refine((jobs) => Object.keys(jobs).length > 0, "must have at least one job")
      .describe(
        "Jobs by name. A key that takes a run, such as `init` or `model` of a reward, may be the name of a job that the job needs: the newest checkpoint of the run of that job",
      ),
  });

/** The keys of a job are checked with its overrides, because an override may add a missing key. */
export const pipelineSchema = pipelineSchemaOf(z.record(z.string(), z.unknown()));

/** JSON Schema of pipeline files, for editors. */
export const pipelineJsonSchema = (): Record<string, unknown> => z.toJSONSchema(pipelineSchemaOf(jobFileSchema), { io: "input" });
