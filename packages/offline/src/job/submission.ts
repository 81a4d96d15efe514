import { join } from "node:path";
import { LapidaryError, type Warning } from "@lapidary/std";
import { checkJobInputs } from "@lapidary/trainer/inputs";
import { readPipeline } from "@lapidary/data-pipeline";
import {
  type DataJob,
  dataJobOf,
  isDataEntry,
  isDataPipeline,
  isPipeline,
  isStepJob,
  jobFileOf,
  type JobText,
  type LocatedJob,
} from "@lapidary/training/job";
import type { Directories } from "../directories.js";
import { jobOfText, pipelineOfText, readLaunchText } from "./job-text.js";
import type { JobSubmission } from "./job-submission.js";
import { readStepSubmission } from "./step-submission.js";

/** A pipeline as the coordinator receives it. */
export interface PipelineSubmission {
  /** The beginning of the pipeline's id. */
  readonly like: string;
  readonly jobs: { readonly name: string; readonly needs: string[]; readonly job: ReturnType<typeof jobFileOf> | DataJob }[];
}

/** The text of the file that a user launches. It is read once, because it may be a pipe. */
export interface LaunchFile {
  readonly text: JobText;
  readonly isPipeline: boolean;
  /** Whether it is the file of a pipeline of training data. */
  readonly isDataPipeline: boolean;
}

/** @param file a path, or the name of a file in `configs/jobs` or `configs/pipelines` */
export function readLaunchFile(directories: Directories, file: string): LaunchFile {
  const text = readLaunchText(directories, file);
  return { text, isPipeline: isPipeline(text), isDataPipeline: isDataPipeline(text) };
}

/**
 * Resolves a job and checks its corpus and checkpoint before the coordinator is asked. The coordinator repeats the checks and returns their warnings;
 * here, an error names the line of the file.
 *
 * @param onWarning receives warnings of the file: renamed keys
 */
export async function readSubmission(
  directories: Directories,
  text: JobText,
  overrides: readonly string[],
  onWarning: (warning: Warning) => void,
): Promise<JobSubmission> {
  if (isStepJob(text)) return readStepSubmission(directories, text, overrides);
  const located = await jobOfText(directories, text, overrides);
  located.warnings.forEach(onWarning);
  await checkInputsOf(directories, located);
  return { job: jobFileOf(located.job), priority: located.job.priority };
}

/** As `readSubmission`, for each job of a pipeline. A checkpoint that another job writes is checked when the job starts. */
export async function readPipelineSubmission(
  directories: Directories,
  text: JobText,
  overrides: readonly string[],
  onWarning: (warning: Warning) => void,
): Promise<PipelineSubmission> {
  const { name, jobs } = await pipelineOfText(directories, text, overrides);
  for (const job of jobs) {
    if (isDataEntry(job)) {
      readPipeline(job.dataJob.pipeline);
      continue;
    }
    job.warnings.forEach(onWarning);
    try {
      await checkInputsOf(directories, job, job.isPending);
    } catch (error) {
      throw error instanceof LapidaryError ? error.with({ message: `job ${job.name}: ${error.message}` }) : error;
    }
  }
  return {
    like: name,
    jobs: jobs.map((job) => ({ name: job.name, needs: [...job.needs], job: isDataEntry(job) ? job.dataJob : jobFileOf(job.job) })),
  };
}

/** The run of a data pipeline as the coordinator receives it. @throws LapidaryError LAP_DATA_… */
export function dataSubmissionOf(file: string, cwd: string): DataJob {
  const job = dataJobOf(file, cwd);
  readPipeline(job.pipeline);
  return job;
}

export { readStepSubmission } from "./step-submission.js";

const checkInputsOf = (
  { root, home }: Directories,
  { job, locationOf }: LocatedJob,
  isPending: (run: string) => boolean = () => false,
): ReturnType<typeof checkJobInputs> =>
  checkJobInputs(job, { projectRoot: root, locationOf, runsDirectory: join(home, "runs"), isPending });
