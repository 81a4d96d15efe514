import { resolve } from "node:path";
import { type JobText, readConfigValue, readJobText } from "@lapidary/training/job";
import { z } from "zod";
import type { Directories } from "../../directories.js";

const count = z.number().int().positive();

const sizeSchema = z
  .strictObject({
    file: z.string().min(1).optional().describe("A job file, relative to this file"),
    job: z.record(z.string(), z.unknown()).optional().describe("The keys of a job file; an alternative to file"),
    mixtures: count.describe("Mixtures that models of this size train on"),
  })
  .refine((given) => (given.file === undefined) !== (given.job === undefined), { error: "give one of file and job" });

const ablationSchema = z.strictObject({
  pipeline: z.string().min(1).describe("Directory that `lapidary data run` wrote"),
  small: sizeSchema.describe("Many runs of a small model: they show how losses depend on the mixture"),
  large: sizeSchema.describe("Few runs of a larger model, on the first of the mixtures"),
  seeds: count.max(64).default(2).describe("Runs of each mixture and size; they differ by their seed"),
  seed: z.number().int().default(0).describe("Seed of the mixtures"),
  goal: z
    .record(z.string(), z.number().nonnegative())
    .optional()
    .describe("Weights of the held-out losses by source; in proportion to the tokens by default"),
  repeat: count.default(4).describe("How often a source may be read"),
  confirm: z.boolean().default(true).describe("Whether the large size also trains on the recommended mixture, with each seed"),
  tokens: count.optional().describe("Tokens of the run that the recommendation is for; those of a large run by default"),
});

/** The file of an ablation. */
export type AblationFile = z.output<typeof ablationSchema>;

export interface LocatedAblation extends JobText {
  readonly ablation: AblationFile;
}

/**
 * Reads the file of an ablation.
 *
 * @param pipeline replaces the one of the file
 * @throws LapidaryError LAP_JOB_FILE, LAP_CONFIG_…
 */
export function readAblationFile({ cwd }: Directories, file: string, pipeline: string | undefined): LocatedAblation {
  const text = readJobText(file, cwd);
  const read = readConfigValue(ablationSchema, text);
  return { ...text, ablation: { ...read, pipeline: pipeline === undefined ? resolve(text.base, read.pipeline) : resolve(cwd, pipeline) } };
}
