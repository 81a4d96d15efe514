import { rmSync } from "node:fs";
import type { ObjectStore, StoredObject } from "@lapidary/data-store";
import { assert, ensure } from "@lapidary/std";
import { settingsAs } from "../file/pipeline-file.js";
import type { Task } from "../plan/plan.js";
import type { SettingsOf, StageName } from "../stages/settings.js";
import type { GatherInputs, Stage, StageOutput } from "../stages/stage.js";
import { stageTable } from "../stages/table.js";
import { openView, storedObject } from "../view/open-view.js";
import type { ShardView } from "../view/view.js";

/** How a task is run again after its process died. */
export interface TaskLimits {
  /** Ids of documents that end the process. */
  readonly setAside: readonly string[];
  /** Only these rows, to find such a document. Nothing is stored then. */
  readonly rows?: readonly [from: number, to: number] | undefined;
}

/**
 * Computes the object of a task, or finds it.
 *
 * @throws LapidaryError LAP_DATA_STORE if an input is damaged, and what the stage throws
 */
export async function runTask(store: ObjectStore, task: Task, { setAside }: TaskLimits): Promise<StoredObject> {
  return withScratch(store, (scratch) => store.write(task.key, () => outputOf(store, task, viewOf(store, task, { setAside }), scratch)));
}

/** Runs a part of a task and stores nothing. Returns the ids of the documents that the part has. */
export async function probeTask(store: ObjectStore, task: Task, limits: TaskLimits): Promise<readonly string[]> {
  const ids: string[] = [];
  const view = ensure(viewOf(store, task, limits), "a view");
  const observed: ShardView = {
    ...view,
    documents: async function* () {
      for await (const document of view.documents()) {
        ids.push(document.id);
        yield document;
      }
    },
  };
  await withScratch(store, async (scratch) => {
    const output = outputOf(store, task, observed, scratch);
    for (let next = await output.next(); next.done !== true; next = await output.next()) for await (const _chunk of next.value);
  });
  return ids;
}

/** Files of a step while it runs. What a killed process left is removed with the unfinished objects. */
async function withScratch<T>(store: ObjectStore, use: (scratch: string) => Promise<T>): Promise<T> {
  const scratch = store.makeScratch();
  try {
    return await use(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function viewOf(store: ObjectStore, { shard, columns }: Task, { setAside, rows }: TaskLimits): ShardView | undefined {
  if (shard === undefined) return undefined;
  const types = new Map(Object.entries(columns));
  return openView(store, { shard: shard.shard, keys: shard.view, columns: types, setAside: new Set(setAside), rows });
}

function outputOf(store: ObjectStore, task: Task, view: ShardView | undefined, scratch: string): StageOutput {
  return outputOfStage(task.stage, task, view, () => gatherInputs(store, task, scratch));
}

function outputOfStage<Name extends StageName>(
  name: Name,
  task: Task,
  view: ShardView | undefined,
  inputs: () => GatherInputs,
): StageOutput {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  const settings = settingsAs(name, task.settings);
  const step = ensure(stage.steps(settings)[task.step], `step ${task.step} of ${name}`);
  switch (step.shape) {
    case "map":
      return step.run(ensure(view, "a view"), settings);
    case "scatter":
      assert(task.shard !== undefined, "a scatter has a shard");
      return step.run(ensure(view, "a view"), inputs(), task.shard.ordinal, settings, task.partitions);
    case "gather":
      return step.run(inputs(), task.partition, task.partitions, settings);
    case "join":
      assert(task.shard !== undefined, "a join has a shard");
      return step.run(ensure(view, "a view"), inputs(), task.shard.ordinal, settings);
  }
}

const gatherInputs = (store: ObjectStore, { inputs, inputSources }: Task, scratch: string): GatherInputs => ({
  objects: inputs.map((key) => storedObject(store, key)),
  read: (object, partition) => store.read(object, partition),
  sources: inputSources,
  scratch,
});
