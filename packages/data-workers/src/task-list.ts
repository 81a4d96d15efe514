import { createHash } from "node:crypto";
import type { NeededObjects, Plan, Task } from "@lapidary/data-pipeline";
import { Account, objectKey, type OutputStore } from "@lapidary/data-store";
import { z } from "zod";

export const taskPointer = z.object({
  /** The directory of the store, at the same path on all hosts, or its address. */
  store: z.string(),
  /** The key of the object with the list of tasks. */
  list: z.string(),
});

/** What a job of the queue has: where its task is. */
export type TaskPointer = Readonly<z.infer<typeof taskPointer>>;

/**
 * Stores the tasks of a plan, and returns the key of the list. A task can name many inputs, and Redis is memory.
 *
 * @throws LapidaryError LAP_DATA_STORE, LAP_FILE_…, LAP_DATA_REMOTE
 */
export async function writeTaskList(store: OutputStore, { tasks }: Plan, needs: NeededObjects): Promise<string> {
  const lineOf = (task: Task): Buffer => Buffer.from(`${JSON.stringify(task)}\n`);
  const hash = createHash("sha256");
  for (const task of tasks) hash.update(lineOf(task));
  const key = objectKey({ code: "tasks 1", config: null, inputs: [hash.digest("hex")] });
  await needs.add(key);
  await store.write(key, async function* () {
    yield (async function* () {
      for (const task of tasks) yield lineOf(task);
    })();
    return new Account().counts("tasks");
  });
  return key;
}

/** The tasks of a list by key; undefined if it is not stored. */
export async function readTaskList(store: OutputStore, key: string): Promise<ReadonlyMap<string, Task> | undefined> {
  const object = await store.find(key);
  if (object === undefined) return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of store.read(object, 0)) chunks.push(chunk);
  const lines = Buffer.concat(chunks).toString("utf8").split("\n").slice(0, -1);
  return new Map(lines.map((line) => JSON.parse(line) as Task).map((task) => [task.key, task]));
}
