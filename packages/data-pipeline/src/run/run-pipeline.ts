import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type AccountCounts, mergeAccounts, openStore, type OutputStore, type S3Access, type StoreAccess } from "@lapidary/data-store";
import type { PublishedDataset } from "@lapidary/mixture";
import { LapidaryError } from "@lapidary/std";
import type { Pipeline } from "../file/pipeline-file.js";
import { digestFiles } from "../plan/digest-files.js";
import { FileIndex } from "../plan/file-index.js";
import { makePlan } from "../plan/make-plan.js";
import { makeShards } from "../plan/make-shards.js";
import type { Plan, Task } from "../plan/plan.js";
import { NeededObjects, registrationOf } from "../result/needed-objects.js";
import { scratchOf } from "../result/open-result.js";
import { type PlanFile, planFileOf, writePlanFile } from "../result/plan-file.js";
import { publish } from "../result/publish.js";
import { publishContamination } from "../result/publish-contamination.js";
import { type StageAccount, stageAccounts } from "../result/stage-accounts.js";
import { execute, TaskFailure } from "./execute.js";
import { Progress } from "./progress.js";
import { writeRunTimes } from "./run-times.js";
import { storeInputLists } from "./input-lists.js";
import { checkDamage, checkLosses } from "./run-checks.js";
import { lockRun } from "./run-lock.js";
import type { SetAside } from "./run-robustly.js";
import { storeStageFiles, stageFilesOf } from "./stage-files.js";
import { type ExecutorContext, localExecutor, type StartRunner, type TaskExecutor } from "./task-executor.js";

export interface RunOptions {
  readonly pipeline: Pipeline;
  /** For a store and for sources in an S3-compatible server. */
  readonly s3?: S3Access | undefined;
  /** Processes that compute. */
  readonly workers: number;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  readonly warn: (text: string) => void;
  /** Starts what computes the tasks of one worker. Default: a child process. */
  readonly startRunner?: StartRunner | undefined;
  /** Computes the tasks elsewhere. Default: `workers` runners of this process. */
  readonly executor?: ((context: ExecutorContext) => Promise<TaskExecutor>) | undefined;
}

export interface RunResult {
  readonly plan: PlanFile;
  /** Objects that this run computed, and those that it found. */
  readonly computed: number;
  readonly found: number;
  readonly setAside: readonly SetAside[];
  readonly stages: readonly StageAccount[];
  readonly dataset: PublishedDataset | undefined;
}

/** How often a run writes its times, for those who watch it. */
const timesMs = 1000;

/** Damaged objects are computed again, but not for ever. */
const maxRepairs = 3;

/**
 * Runs a pipeline: computes what its store lacks, and publishes the dataset. A run that was interrupted at any instant goes on,
 * and ends with the bytes of an undisturbed run.
 *
 * @throws LapidaryError LAP_DATA_DAMAGED, LAP_DATA_EXPECT, LAP_DATA_ACCOUNT, LAP_DATA_STAGE_DIED, LAP_DATA_BUSY, …
 */
export async function runPipeline(options: RunOptions): Promise<RunResult> {
  const { pipeline, progress } = options;
  const release = lockRun(pipeline.out);
  try {
    const store = openStore(pipeline.store, accessOf(options));
    mkdirSync(join(pipeline.out, "objects"), { recursive: true });
    const index = new FileIndex(join(pipeline.out, "files.json"));
    const onFile = (file: string): void => {
      options.signal.throwIfAborted();
      progress.reading(file);
    };
    const shards = await makeShards(pipeline, index, onFile, options.s3);
    index.save();
    const plan = makePlan(pipeline, shards, digestFiles(pipeline));
    const planFile = planFileOf(pipeline, plan);
    writePlanFile(pipeline.out, planFile);
    const needs = await NeededObjects.register(store, registrationOf(pipeline.out, planFile));
    // Workers of other processes may have outputs in progress.
    if (options.executor === undefined) await store.removeUnfinished(needs.isOfOthers);
    await storeStageFiles(store, stageFilesOf(plan));
    await storeInputLists(store, plan);
    const { objects, computed, setAside } = await computeRepaired(options, { store, plan, needs });
    await publishContamination(pipeline.out, store, plan, planFile);
    const dataset = await publish(pipeline.out, store, planFile);
    return {
      plan: planFile,
      computed,
      found: objects - computed,
      setAside,
      stages: await stageAccounts(store, planFile),
      dataset,
    };
  } finally {
    release();
  }
}

const accessOf = ({ pipeline, s3 }: RunOptions): StoreAccess => ({ s3, scratch: scratchOf(pipeline.out) });

/** What a run computes, and where. */
interface Work {
  readonly store: OutputStore;
  readonly plan: Plan;
  readonly needs: NeededObjects;
}

interface Computed {
  /** All objects of the plan. */
  readonly objects: number;
  readonly computed: number;
  readonly setAside: readonly SetAside[];
}

/** A damaged object is removed and computed again. */
async function computeRepaired(options: RunOptions, work: Work): Promise<Computed> {
  for (let repairs = 0; ; repairs++)
    try {
      return await compute(options, work);
    } catch (error) {
      if (!(error instanceof TaskFailure)) throw error;
      const isDamage = error.cause instanceof LapidaryError && error.cause.code === "LAP_DATA_STORE";
      const removed = isDamage && repairs < maxRepairs ? await removeDamaged(work, error.task) : [];
      if (removed.length === 0) throw error.cause;
      for (const location of removed) options.warn(`${location} is damaged, and is computed again`);
    }
}

async function removeDamaged({ store, plan }: Work, task: Task): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const key of [...task.after, ...task.inputs.flatMap(({ list }) => plan.lists.get(list) ?? [])])
    try {
      const object = await store.find(key);
      if (object !== undefined) await store.verify(object);
    } catch (error) {
      if (!(error instanceof LapidaryError) || error.code !== "LAP_DATA_STORE") throw error;
      await store.remove(key);
      removed.push(error.location ?? key);
    }
  return removed;
}

async function compute(options: RunOptions, { store, plan, needs }: Work): Promise<Computed> {
  const { pipeline, workers, signal, progress, warn, startRunner } = options;
  const setAside: SetAside[] = [];
  const accounts = new StageProgress(plan);
  let computed = 0;
  const onSetAside = (document: SetAside): void => {
    setAside.push(document);
    warn(`document ${document.id} ends the process of the stage ${document.stage} (${document.shard}), and is set aside`);
  };
  const context = { location: pipeline.store, access: accessOf(options), store, plan, needs, signal, onSetAside, warn };
  const executor = (await options.executor?.(context)) ?? localExecutor(context, workers, startRunner);
  const onAbort = (): void => executor.close();
  signal.addEventListener("abort", onAbort);
  progress.start(plan);
  // A run that finds everything keeps the times of the run that computed.
  const writeTimes = (): void => {
    if (progress.hasBegun) writeRunTimes(pipeline.out, progress.times());
  };
  const timer = setInterval(writeTimes, timesMs);
  try {
    const objects = await execute({
      store,
      plan,
      workers: executor.slots,
      run: async (task, slot) => {
        progress.begin(task);
        return executor.run(task, slot);
      },
      onObject: (task, object, isNew) => {
        if (isNew) computed++;
        progress.add(task, object, isNew);
        checkDamage(pipeline, task, object);
        const finished = accounts.add(task, object.account);
        if (finished !== undefined) checkLosses(pipeline, task, finished);
      },
    });
    return { objects, computed, setAside };
  } catch (error) {
    throw error instanceof TaskFailure && signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    executor.close();
    progress.end();
    clearInterval(timer);
    writeTimes();
  }
}

/** Collects the accounts of stages until all shards are there. */
class StageProgress {
  readonly #left: Map<number, Set<string>>;
  readonly #merged = new Map<number, AccountCounts>();

  constructor({ stages }: Plan) {
    this.#left = new Map(stages.map(({ accounts }, i) => [i, new Set(accounts.map(({ key }) => key))]));
  }

  /** The account of the stage, if this was its last shard. */
  add({ stageIndex, key, stage }: Task, account: AccountCounts): AccountCounts | undefined {
    const left = this.#left.get(stageIndex);
    if (left?.delete(key) !== true) return undefined;
    const before = this.#merged.get(stageIndex);
    const merged = mergeAccounts(before === undefined ? [account] : [before, account], stage);
    this.#merged.set(stageIndex, merged);
    return left.size === 0 ? merged : undefined;
  }
}
