import { rmSync } from "node:fs";
import type { OutputStore, S3Access, StoredObject } from "@lapidary/data-store";
import { assert, ensure } from "@lapidary/std";
import { settingsAs } from "../file/pipeline-file.js";
import type { Task } from "../plan/plan.js";
import type { SettingsOf, StageName } from "../stages/settings.js";
import type { GatherInputs, Stage, StageOutput } from "../stages/stage.js";
import { stageTable } from "../stages/table.js";
import type { ShardFile } from "../plan/shard.js";
import { openView } from "../view/open-view.js";
import type { ShardView } from "../view/view.js";
import { openInputs } from "./input-lists.js";
import { localFiles } from "./local-files.js";
import { localStageFiles } from "./stage-files.js";

/** How a task is run again after its process died. */
export interface TaskLimits {
  /** Ids of documents that end the process. */
  readonly setAside: readonly string[];
  /** Only these rows, to find such a document. Nothing is stored then. */
  readonly rows?: readonly [from: number, to: number] | undefined;
}

/** Where a task finds what it reads, and stores what it writes. */
export interface TaskStores {
  readonly store: OutputStore;
  /** For files of sources. */
  readonly s3: S3Access | undefined;
}

/**
 * Computes the object of a task, or finds it.
 *
 * @throws LapidaryError LAP_DATA_STORE if an input is damaged, and what the stage throws
 */
export async function runTask(stores: TaskStores, task: Task, { setAside }: TaskLimits): Promise<StoredObject> {
  const { store } = stores;
  return withScratch(store, task.key, (scratch) =>
    store.write(task.key, () => outputOf(store, task, viewOf(stores, task, { setAside }, scratch), scratch)),
  );
}

/** Runs a part of a task and stores nothing. Returns the ids of the documents that the part has. */
export async function probeTask(stores: TaskStores, task: Task, limits: TaskLimits): Promise<readonly string[]> {
  const { store } = stores;
  const ids: string[] = [];
  await withScratch(store, task.key, async (scratch) => {
    const view = ensure(viewOf(stores, task, limits, scratch), "a view");
    const observed: ShardView = {
      ...view,
      documents: async function* () {
        for await (const document of view.documents()) {
          ids.push(document.id);
          yield document;
        }
      },
    };
    const output = outputOf(store, task, observed, scratch);
    for (let next = await output.next(); next.done !== true; next = await output.next()) for await (const _chunk of next.value);
  });
  return ids;
}

/** Files of a step while it runs. What a killed process left is removed with the unfinished objects. */
export async function withScratch<T>(store: OutputStore, key: string, use: (scratch: string) => Promise<T>): Promise<T> {
  const scratch = store.makeScratch(key);
  try {
    return await use(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function viewOf(
  { store, s3 }: TaskStores,
  { shard, columns }: Task,
  { setAside, rows }: TaskLimits,
  scratch: string,
): ShardView | undefined {
  if (shard === undefined) return undefined;
  const types = new Map(Object.entries(columns));
  const files = (): AsyncGenerator<ShardFile> => localFiles(shard.shard.files, s3, scratch);
  return openView(store, { shard: shard.shard, keys: shard.view, columns: types, setAside: new Set(setAside), rows, files });
}

async function* outputOf(store: OutputStore, task: Task, view: ShardView | undefined, scratch: string): StageOutput {
  const files = await localStageFiles(store, task, scratch);
  const inputs = await openInputs(store, task, scratch);
  try {
    return yield* outputOfStage(task.stage, { ...task, settings: files.settings }, view, inputs);
  } catch (error) {
    throw files.named(error);
  }
}

function outputOfStage<Name extends StageName>(name: Name, task: Task, view: ShardView | undefined, inputs: GatherInputs): StageOutput {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  const settings = settingsAs(name, task.settings);
  const step = ensure(stage.steps(settings)[task.step], `step ${task.step} of ${name}`);
  switch (step.shape) {
    case "map":
      return step.run(ensure(view, "a view"), settings);
    case "scatter":
      assert(task.shard !== undefined, "a scatter has a shard");
      return step.run(ensure(view, "a view"), inputs, task.shard.ordinal, settings, task.partitions);
    case "gather":
      return step.run(inputs, task.partition, task.partitions, settings);
    case "join":
      assert(task.shard !== undefined, "a join has a shard");
      return step.run(ensure(view, "a view"), inputs, task.shard.ordinal, settings);
  }
}
