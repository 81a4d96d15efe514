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
  return store.write(task.key, () => outputOf(store, task, viewOf(store, task, { setAside })));
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
  const output = outputOf(store, task, observed);
  for (let next = await output.next(); next.done !== true; next = await output.next()) for await (const _chunk of next.value);
  return ids;
}

function viewOf(store: ObjectStore, { shard, columns }: Task, { setAside, rows }: TaskLimits): ShardView | undefined {
  if (shard === undefined) return undefined;
  const types = new Map(Object.entries(columns));
  return openView(store, { shard: shard.shard, keys: shard.view, columns: types, setAside: new Set(setAside), rows });
}

function outputOf(store: ObjectStore, task: Task, view: ShardView | undefined): StageOutput {
  return outputOfStage(store, task.stage, task, view);
}

function outputOfStage<Name extends StageName>(store: ObjectStore, name: Name, task: Task, view: ShardView | undefined): StageOutput {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  const settings = settingsAs(name, task.settings);
  const step = ensure(stage.steps(settings)[task.step], `step ${task.step} of ${name}`);
  switch (step.shape) {
    case "map":
      return step.run(ensure(view, "a view"), settings);
    case "scatter":
      return step.run(ensure(view, "a view"), settings, task.partitions);
    case "gather":
      return step.run(gatherInputs(store, task), task.partition, task.partitions, settings);
    case "join":
      assert(task.shard !== undefined, "a join has a shard");
      return step.run(ensure(view, "a view"), gatherInputs(store, task), task.shard.ordinal, settings);
  }
}

const gatherInputs = (store: ObjectStore, { inputs, inputSources }: Task): GatherInputs => ({
  objects: inputs.map((key) => storedObject(store, key)),
  read: (object, partition) => store.read(object, partition),
  sources: inputSources,
});
