import { LapidaryError, suggest } from "@lapidary/std";

/** A job of a pipeline and the jobs that must be done before it starts. */
export interface JobNeeds {
  readonly name: string;
  readonly needs: readonly string[];
}

/** The order of the jobs of a pipeline, and what each of them waits for. */
export interface JobOrder<T extends JobNeeds> {
  /** Each job comes after all jobs that it needs. Otherwise the jobs keep their order. */
  readonly jobs: readonly T[];
  /** All jobs that are done before a job starts: its needs, and the needs of these. */
  readonly ancestors: (name: string) => ReadonlySet<string>;
}

/**
 * Orders the jobs of a pipeline.
 *
 * @param locationOf the location of the needs of a job
 * @throws LAP_PIPELINE_JOB for two jobs of one name, LAP_PIPELINE_NEED for an unknown need, LAP_PIPELINE_CYCLE for jobs that wait for one another
 */
export function orderJobs<T extends JobNeeds>(jobs: readonly T[], locationOf: (name: string) => string): JobOrder<T> {
  const byName = new Map<string, T>();
  for (const job of jobs) {
    if (byName.has(job.name))
      throw new LapidaryError({
        code: "LAP_PIPELINE_JOB",
        message: `two jobs of the pipeline have the name ${job.name}`,
        location: locationOf(job.name),
      });
    byName.set(job.name, job);
  }
  const ordered: T[] = [];
  const ancestors = new Map<string, Set<string>>();
  const visit = (job: T, path: readonly string[]): ReadonlySet<string> => {
    const known = ancestors.get(job.name);
    if (known !== undefined) return known;
    if (path.includes(job.name)) throw cycleError([...path.slice(path.indexOf(job.name)), job.name], locationOf);
    const before = new Set<string>();
    for (const need of job.needs) {
      const needed = byName.get(need);
      if (needed === undefined) throw unknownNeed(job.name, need, [...byName.keys()], locationOf);
      for (const ancestor of visit(needed, [...path, job.name])) before.add(ancestor);
      before.add(need);
    }
    ancestors.set(job.name, before);
    ordered.push(job);
    return before;
  };
  for (const job of jobs) visit(job, []);
  return { jobs: ordered, ancestors: (name) => ancestors.get(name) ?? new Set() };
}

function unknownNeed(job: string, need: string, known: readonly string[], locationOf: (name: string) => string): LapidaryError {
  const others = known.filter((name) => name !== job);
  const near = suggest(need, others);
  return new LapidaryError({
    code: "LAP_PIPELINE_NEED",
    message: `job ${job} needs job ${need}, which the pipeline does not have`,
    location: locationOf(job),
    remedy:
      near !== undefined
        ? `did you mean "${near}"?`
        : others.length === 0
          ? "remove the need"
          : `the other jobs of the pipeline are ${others.join(", ")}`,
  });
}

function cycleError(cycle: readonly string[], locationOf: (name: string) => string): LapidaryError {
  return new LapidaryError({
    code: "LAP_PIPELINE_CYCLE",
    message: `jobs of the pipeline wait for one another: ${cycle.join(" needs ")}`,
    location: locationOf(cycle[0] ?? ""),
  });
}
