import { createHash } from "node:crypto";
import type { NeededObjects, Plan, Task } from "@lapidary/data-pipeline";
import { Account, objectKey, type OutputStore } from "@lapidary/data-store";
import { z } from "zod";

export const taskPointer = z.object({
  /** The directory of the store, at the same path on all hosts, or its address. */
  store: z.string(),
  /** The key of the object with a list of tasks. */
  list: z.string(),
});

/** What a job of the queue has: where its task is. */
export type TaskPointer = Readonly<z.infer<typeof taskPointer>>;

/** Tasks of a list: about 1 MB. A worker that has some tasks of a plan reads their lists, and not the plan. */
const tasksOfList = 512;

/**
 * Stores the tasks of a plan in lists. Redis is memory, so jobs only name these.
 *
 * @returns the key of the list of each task
 * @throws LapidaryError LAP_DATA_STORE, LAP_FILE_…, LAP_DATA_REMOTE
 */
export async function writeTaskLists(store: OutputStore, { tasks }: Plan, needs: NeededObjects): Promise<ReadonlyMap<string, string>> {
  const lists = new Map<string, readonly Task[]>();
  const listOf = new Map<string, string>();
  for (let at = 0; at < tasks.length; at += tasksOfList) {
    const some = tasks.slice(at, at + tasksOfList);
    const hash = createHash("sha256");
    for (const task of some) hash.update(lineOf(task));
    const list = objectKey({ code: "tasks 1", config: null, inputs: [hash.digest("hex")] });
    lists.set(list, some);
    for (const { key } of some) listOf.set(key, list);
  }
  await needs.add([...lists.keys()]);
  for (const [list, some] of lists)
    await store.write(list, async function* () {
      yield (async function* () {
        for (const task of some) yield lineOf(task);
      })();
      return new Account().counts("tasks");
    });
  return listOf;
}

const lineOf = (task: Task): Buffer => Buffer.from(`${JSON.stringify(task)}\n`);

/** The tasks of a list by key; undefined if it is not stored. */
export async function readTaskList(store: OutputStore, key: string): Promise<ReadonlyMap<string, Task> | undefined> {
  const object = await store.find(key);
  if (object === undefined) return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of store.read(object, 0)) chunks.push(chunk);
  const lines = Buffer.concat(chunks).toString("utf8").split("\n").slice(0, -1);
  return new Map(lines.map((line) => JSON.parse(line) as Task).map((task) => [task.key, task]));
}
