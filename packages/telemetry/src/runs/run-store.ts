import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Clock, LapidaryError, suggest } from "@lapidary/std";
import { type JobState, type JobSummary, jobStates, namePattern } from "@lapidary/api";
import { Run, type RunIdentity } from "./run.js";

/** The fields of a new run that the caller sets. */
export type NewRun = Omit<RunIdentity, "id" | "created_at"> & {
  /** The requested id, or the beginning of a generated one. */
  readonly name: { readonly exactly: string } | { readonly like: string };
  /** Text of its job file. */
  readonly jobFile: string;
};

/** All runs of a home directory, by id. It reads the runs of earlier processes when it opens. */
export class RunStore {
  readonly #runs = new Map<string, Run>();
  /** Names of directories whose files are invalid. */
  readonly #unreadable = new Set<string>();

  private constructor(
    readonly directory: string,
    private readonly clock: Clock,
  ) {}

  /** @param onUnreadable called for a run with invalid files, which the store skips */
  static async open(
    directory: string,
    clock: Clock,
    onUnreadable: (directory: string, error: unknown) => void = () => undefined,
  ): Promise<RunStore> {
    mkdirSync(directory, { recursive: true });
    const store = new RunStore(directory, clock);
    for (const name of readdirSync(directory).filter((entry) => namePattern.test(entry))) {
      const place = join(directory, name);
      try {
        const run = await Run.load(place, clock);
        if (run !== undefined) store.#runs.set(run.id, run);
      } catch (error) {
        store.#unreadable.add(name);
        onUnreadable(place, error);
      }
    }
    return store;
  }

  /**
   * Creates a run, or returns the one that has this name and the same job.
   *
   * @throws LAP_JOB_NAME_TAKEN if another job has the name
   */
  create(wanted: NewRun): { readonly run: Run; readonly existed: boolean } {
    const { name, jobFile, ...identity } = wanted;
    const known = "exactly" in name ? this.#runs.get(name.exactly) : undefined;
    if (known !== undefined) {
      if (known.identity.fingerprint === identity.fingerprint) return { run: known, existed: true };
      throw nameTaken(known.id);
    }
    const id = "exactly" in name ? name.exactly : this.#freeId(name.like);
    const directory = join(this.directory, id);
    if (existsSync(directory)) throw nameTaken(id, directory);
    const run = Run.create(directory, { ...identity, id, created_at: this.clock.now() }, jobFile, this.clock);
    this.#runs.set(id, run);
    return { run, existed: false };
  }

  /** Removes a run that could not be queued. */
  discard(run: Run): void {
    run.close();
    this.#runs.delete(run.id);
    rmSync(run.directory, { recursive: true, force: true });
  }

  /** @throws LAP_JOB_UNKNOWN, LAP_JOB_UNREADABLE */
  get(id: string): Run {
    const run = this.#runs.get(id);
    if (run !== undefined) return run;
    if (this.#unreadable.has(id)) throw unreadable(id, join(this.directory, id));
    const near = suggest(id, this.#runs.keys());
    throw new LapidaryError({
      code: "LAP_JOB_UNKNOWN",
      message: `job ${JSON.stringify(id.slice(0, 80))} not found`,
      location: "job",
      remedy: near === undefined ? "list them with `lapidary jobs`" : `did you mean "${near}"? \`lapidary jobs\` lists all`,
    });
  }

  find(id: string): Run | undefined {
    return this.#runs.get(id);
  }

  /** Newest first, from after the run `cursor`. */
  list({
    state,
    limit,
    cursor,
  }: {
    readonly state?: readonly JobState[] | undefined;
    readonly limit: number;
    readonly cursor?: string | undefined;
  }): { jobs: JobSummary[]; next_cursor?: string } {
    const newestFirst = [...this.#runs.values()].sort(byAge).reverse();
    const start = cursor === undefined ? 0 : newestFirst.indexOf(this.get(cursor)) + 1;
    const matching = newestFirst.slice(start).filter((run) => state === undefined || state.includes(run.state));
    const jobs = matching.slice(0, limit).map((run) => run.summary);
    const last = jobs.at(-1);
    return matching.length > limit && last !== undefined ? { jobs, next_cursor: last.id } : { jobs };
  }

  /** Oldest first. */
  all(): Run[] {
    return [...this.#runs.values()].sort(byAge);
  }

  counts(): Record<JobState, number> {
    const counts = Object.fromEntries(jobStates.map((state) => [state, 0])) as Record<JobState, number>;
    for (const run of this.#runs.values()) counts[run.state]++;
    return counts;
  }

  close(): void {
    for (const run of this.#runs.values()) run.close();
  }

  /** `quickstart-1`, `quickstart-2`, …: the number after the highest one. */
  #freeId(stem: string): string {
    const clean =
      stem
        .toLowerCase()
        .replaceAll(/[^a-z0-9._-]+/g, "-")
        .replace(/^[^a-z0-9]+/, "")
        .slice(0, 48) || "job";
    const taken = readdirSync(this.directory)
      .filter((name) => name.startsWith(`${clean}-`))
      .map((name) => Number(name.slice(clean.length + 1)))
      .filter(Number.isInteger);
    return `${clean}-${Math.max(0, ...taken) + 1}`;
  }
}

const byAge = (a: Run, b: Run): number => a.identity.created_at - b.identity.created_at || compareIds(a.id, b.id);

/** Runs of the same millisecond are in the order of their numbers. */
const compareIds = (a: string, b: string): number => a.localeCompare(b, "en", { numeric: true });

function unreadable(id: string, directory: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_UNREADABLE",
    message: `the files of job ${id} cannot be read: run.json or summary.json is damaged, or another version of Lapidary wrote it`,
    location: directory,
  });
}

function nameTaken(id: string, directory?: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_NAME_TAKEN",
    message: `another job has the name "${id}"${directory === undefined ? "" : `: ${directory} exists`}`,
    location: "name",
    remedy: "choose another name, or omit it to get a generated one",
  });
}
