import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { jsonText, LapidaryError, replaceFile } from "@lapidary/std";
import { nameSchema } from "@lapidary/api";
import { z } from "zod";
import type { NewRun, RunStore } from "./run-store.js";

const newRunSchema = z.custom<Omit<NewRun, "name">>((value) => typeof value === "object" && value !== null);

const recordSchema = z.strictObject({
  id: nameSchema,
  created_at: z.number(),
  /** Hash of its jobs: submitting them again under the same name does not create another pipeline. */
  fingerprint: z.string(),
  /** Each job comes after the jobs that it needs. */
  jobs: z.array(
    z.strictObject({
      name: nameSchema,
      run: nameSchema,
      needs: z.array(nameSchema),
      /** Only until all runs of the pipeline exist. */
      new_run: newRunSchema.optional(),
    }),
  ),
});
export type PipelineRecord = z.infer<typeof recordSchema>;

/**
 * The pipelines of a state directory: `pipelines/<id>.json` names the runs of a pipeline.
 *
 * Invariant: all runs of a pipeline exist, or none. The file is written before the runs, with their contents. If the coordinator is killed between them,
 * the next coordinator creates the missing runs.
 */
export class PipelineStore {
  readonly #records = new Map<string, PipelineRecord>();

  private constructor(
    readonly directory: string,
    private readonly runs: RunStore,
  ) {}

  /**
   * @param onUnreadable called for a damaged file, which the store skips
   * @param isReadOnly creates nothing: a pipeline whose coordinator was killed may lack runs
   */
  static open(directory: string, runs: RunStore, onUnreadable: (path: string, error: unknown) => void, isReadOnly = false): PipelineStore {
    if (!isReadOnly) mkdirSync(directory, { recursive: true });
    const store = new PipelineStore(directory, runs);
    const entries = existsSync(directory) ? readdirSync(directory) : [];
    for (const file of entries.filter((name) => name.endsWith(".json"))) {
      const path = join(directory, file);
      try {
        const record = recordSchema.parse(JSON.parse(readFileSync(path, "utf8")));
        store.#records.set(record.id, record);
        if (!isReadOnly) store.#createRuns(record);
      } catch (error) {
        onUnreadable(path, error);
      }
    }
    return store;
  }

  find(id: string): PipelineRecord | undefined {
    return this.#records.get(id);
  }

  /** @throws LAP_JOB_UNKNOWN, LAP_PIPELINE_UNREADABLE */
  get(id: string): PipelineRecord {
    const record = this.#records.get(id);
    if (record !== undefined) return record;
    if (nameSchema.safeParse(id).success && existsSync(this.#path(id)))
      throw new LapidaryError({
        code: "LAP_PIPELINE_UNREADABLE",
        message: `the file of pipeline ${id} cannot be read`,
        location: this.#path(id),
      });
    throw new LapidaryError({
      code: "LAP_JOB_UNKNOWN",
      message: `pipeline ${JSON.stringify(id.slice(0, 80))} not found`,
      location: "pipeline",
      remedy: "`lapidary jobs` lists the runs of all pipelines",
    });
  }

  /** `two-stage-1`, `two-stage-2`, …: the first number without a pipeline and without a run that it would have. */
  freeId(stem: string): string {
    const taken = readdirSync(this.runs.directory);
    for (let number = 1; ; number++) {
      const id = `${stem}-${number}`;
      if (!existsSync(this.#path(id)) && !taken.some((name) => name === id || name.startsWith(`${id}-`))) return id;
    }
  }

  /**
   * Creates a pipeline and its runs.
   *
   * @throws LAP_JOB_NAME_TAKEN if a run has one of their names; LAP_FILE_… if the disk fails: then none of them remains
   */
  create(record: PipelineRecord): void {
    for (const { run } of record.jobs)
      if (existsSync(join(this.runs.directory, run)))
        throw new LapidaryError({
          code: "LAP_JOB_NAME_TAKEN",
          message: `another job has the name "${run}", which a run of this pipeline would have`,
          location: "name",
          remedy: "choose another name for the pipeline, or omit it to get a generated one",
        });
    this.#save(record);
    this.#records.set(record.id, record);
    try {
      this.#createRuns(record);
    } catch (error) {
      this.discard(record.id);
      throw error;
    }
  }

  /** Removes a pipeline that could not be queued, and its runs. */
  discard(id: string): void {
    for (const { run: name } of this.#records.get(id)?.jobs ?? []) {
      const run = this.runs.find(name);
      if (run !== undefined) this.runs.discard(run);
    }
    this.#records.delete(id);
    rmSync(this.#path(id), { force: true });
  }

  #createRuns(record: PipelineRecord): void {
    if (record.jobs.every(({ new_run }) => new_run === undefined)) return;
    for (const { run, new_run } of record.jobs)
      if (new_run !== undefined && this.runs.find(run) === undefined) {
        // What is left of a run whose coordinator was killed while it wrote its files.
        rmSync(join(this.runs.directory, run), { recursive: true, force: true });
        this.runs.create({ ...new_run, name: { exactly: run } });
      }
    const created = { ...record, jobs: record.jobs.map(({ new_run: _, ...job }) => job) };
    this.#save(created);
    this.#records.set(record.id, created);
  }

  #save(record: PipelineRecord): void {
    replaceFile(this.#path(record.id), jsonText(record, 2));
  }

  #path(id: string): string {
    return join(this.directory, `${id}.json`);
  }
}
