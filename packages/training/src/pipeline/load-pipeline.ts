import { basename, extname, resolve } from "node:path";
import { LapidaryError, suggest } from "@lapidary/std";
import type { z } from "zod";
import { checkSameModel } from "../inputs/same-model.js";
import { type DataJob, dataJobOf, outputOf } from "../job/data-job.js";
import { type ConfigSource, PartSource } from "../job/config-source.js";
import { type JobEnvironment, type JobText, type LocatedJob, readJobText, resolveLocatedJob } from "../job/load-job.js";
import { runReferences } from "../job/run-references.js";
import { validate } from "../job/validate.js";
import { YamlSource } from "../job/yaml-source.js";
import { orderJobs } from "./job-order.js";
import { partSchema, pipelineSchema } from "./pipeline-schema.js";

/** A job of a pipeline. A key that names the run of another job has the name of that job. */
export interface PipelineJob extends LocatedJob {
  readonly name: string;
  readonly needs: readonly string[];
  /** Whether another job of the pipeline writes the checkpoints of a run that this job names. */
  readonly isPending: (run: string) => boolean;
}

/** A job of a pipeline that runs a pipeline of training data. */
export interface PipelineDataJob {
  readonly name: string;
  readonly needs: readonly string[];
  readonly dataJob: DataJob;
  /** The directory that it writes. */
  readonly out: string;
}

export interface Pipeline {
  readonly name: string;
  /** Each job comes after the jobs that it needs. */
  readonly jobs: readonly (PipelineJob | PipelineDataJob)[];
}

export const isDataEntry = <T extends object>(job: T | PipelineDataJob): job is PipelineDataJob => "dataJob" in job;

type PipelineFile = z.output<typeof pipelineSchema>;

/** Whether the text is that of a pipeline and not of a job: a mapping with the key `jobs`. Other mistakes are found when the text is read. */
export function isPipeline({ text, file }: JobText): boolean {
  try {
    return Object.hasOwn(YamlSource.parse(text, file).value, "jobs");
  } catch (error) {
    if (error instanceof LapidaryError) return /^jobs\s*:/m.test(text);
    throw error;
  }
}

/**
 * Reads a pipeline file and resolves each of its jobs. Paths in the file and in overrides are relative to the file.
 *
 * @param overrides `JOB.key=value`: applied after the overrides of the file
 * @throws LapidaryError with the location in the pipeline file and in the job file
 */
export function resolvePipeline(
  given: JobText,
  overrides: readonly string[],
  environment: Pick<JobEnvironment, "configsDir" | "runsDirectory">,
): Pipeline {
  const source = YamlSource.parse(given.text, given.file);
  const file = validate(pipelineSchema, source);
  const own = overridesByJob(overrides, Object.keys(file.jobs));
  const named = Object.entries(file.jobs).map(([name, job]) => ({ name, ...job }));
  const order = orderJobs(named, (name) => source.locationOf(["jobs", name, "needs"]));
  const runs = new Map(named.filter(({ data }) => data === undefined).map(({ name }) => [name, name]));
  const dataJobs = named.flatMap(({ name, needs, data }): PipelineDataJob[] => {
    if (data === undefined) return [];
    const dataJob = dataJobOf(data, given.base);
    return [{ name, needs, dataJob, out: withLocation(source.locationOf(["jobs", name, "data"]), () => outputOf(dataJob)) }];
  });
  const datasets = new Map(dataJobs.map(({ name, out }) => [name, out]));
  const jobs = order.jobs.map((entry): PipelineJob | PipelineDataJob => {
    const { name, needs } = entry;
    const dataJob = dataJobs.find((each) => each.name === name);
    if (dataJob !== undefined) {
      const [override] = own.get(name) ?? [];
      if (override !== undefined) throw overridesData(name, override);
      return dataJob;
    }
    const key = entry.file === undefined ? "job" : "file";
    const located = withLocation(entry.file === undefined ? undefined : source.locationOf(["jobs", name, key]), () =>
      resolveLocatedJob(
        textOf(entry, source, given),
        [...Object.entries(entry.overrides).map(([path, value]) => `${path}=${overrideText(value)}`), ...(own.get(name) ?? [])],
        { ...environment, base: given.base, runs, datasets },
      ),
    );
    const pendingData = dataJobs.filter((each) => order.ancestors(name).has(each.name)).map(({ out }) => out);
    return { ...located, name, needs, isPending: (run) => runs.has(run) || pendingData.includes(run) };
  });
  const onChips = jobs.flatMap((job) => (isDataEntry(job) ? [] : [job]));
  checkRunsOfNeeds(onChips, order.ancestors);
  checkDataOfNeeds(onChips, dataJobs, order.ancestors);
  return { name: file.name ?? nameOf(given.file), jobs };
}

const overridesData = (name: string, override: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_PIPELINE_OVERRIDE",
    message: `${name} runs a data pipeline, which has no overrides`,
    location: `override ${name}.${override}`,
    remedy: "change the file of the data pipeline",
  });

/** Checks that jobs which train on the output of a data job need it. @throws LAP_PIPELINE_INIT */
export function checkDataOfNeeds(
  jobs: readonly Pick<PipelineJob, "name" | "job" | "locationOf">[],
  dataJobs: readonly PipelineDataJob[],
  ancestors: (name: string) => ReadonlySet<string>,
): void {
  for (const { name, job, locationOf } of jobs) {
    const origin = dataJobs.find(({ out }) => out === job.data.pipeline);
    if (origin === undefined || ancestors(name).has(origin.name)) continue;
    throw new LapidaryError({
      code: "LAP_PIPELINE_INIT",
      message: `data.pipeline of job ${name} is the output of job ${origin.name}, which ${name} does not need`,
      location: locationOf(["data", "pipeline"]),
      remedy: `add ${origin.name} to the needs of ${name}`,
    });
  }
}

/**
 * Checks the jobs that name the runs of other jobs: the job needs the other, the checkpoints of the other are of the kind that the key takes, and both
 * have the same model.
 *
 * @throws LAP_PIPELINE_INIT, LAP_INIT_MISMATCH
 */
export function checkRunsOfNeeds(
  jobs: readonly Pick<PipelineJob, "name" | "job" | "locationOf" | "isPending">[],
  ancestors: (name: string) => ReadonlySet<string>,
): void {
  for (const { name, job, locationOf, isPending } of jobs)
    for (const { path, run, kind } of runReferences(job)) {
      if (!isPending(run)) continue;
      const location = locationOf(path);
      const refuse = (message: string, remedy: string): LapidaryError =>
        new LapidaryError({ code: "LAP_PIPELINE_INIT", message: `${path.join(".")} of job ${name} ${message}`, location, remedy });
      const origin = jobs.find((other) => other.name === run);
      if (origin === undefined || !ancestors(name).has(run))
        throw refuse(
          `is the run of job ${run}, which ${name} does not need`,
          `add ${run} to the needs of ${name}; if ${run} is a directory, write ./${run}`,
        );
      if (origin.job.recipe === "compare" || (kind !== "parameter set" && (origin.job.recipe === "reward") !== (kind === "reward model")))
        throw refuse(`is the run of job ${run}, whose checkpoints are not those of a ${kind}`, `name a job that trains a ${kind}`);
      if (kind !== "judge" && kind !== "parameter set")
        withLocation(location, () => checkSameModel(`the run of job ${run}`, job.model.config, origin.job.model.config));
    }
}

type Entry = PipelineFile["jobs"][string] & { readonly name: string };

function textOf({ name, file }: Entry, source: ConfigSource, { base }: JobText): Parameters<typeof resolveLocatedJob>[0] {
  if (file === undefined) return { source: new PartSource(source, ["jobs", name, "job"]), file: `${name}.yaml`, base };
  return readJobText(resolve(base, file), base);
}

const overrideText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

function overridesByJob(overrides: readonly string[], names: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const byJob = new Map<string, string[]>();
  for (const override of overrides) {
    const [, name = "", rest = ""] = /^([^.=]*)\.(.*)$/s.exec(override) ?? [];
    if (!names.includes(name)) {
      const near = suggest(name, names);
      throw new LapidaryError({
        code: "LAP_PIPELINE_OVERRIDE",
        message: `the override names no job of the pipeline: ${override}`,
        location: `override ${override}`,
        remedy: near === undefined ? `begin it with the name of a job (${names.join(", ")}) and a dot` : `did you mean "${near}.${rest}"?`,
      });
    }
    byJob.set(name, [...(byJob.get(name) ?? []), rest]);
  }
  return byJob;
}

/** Prepends the location in the pipeline file to the location of an error. */
function withLocation<T>(location: string | undefined, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (location === undefined || !(error instanceof LapidaryError) || error.location?.startsWith(location) === true) throw error;
    throw error.with({ location: error.location === undefined ? location : `${location}: ${error.location}` });
  }
}

function nameOf(file: string): string {
  const name = basename(file, extname(file))
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, "-")
    .slice(0, 28);
  return partSchema.safeParse(name).success ? name : "pipeline";
}
