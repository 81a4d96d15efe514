import type { OutputStore, StoredObject } from "@lapidary/data-store";
import type { Plan, Task } from "../plan/plan.js";
import { findObjects } from "../view/open-view.js";

export interface ExecuteOptions {
  readonly store: OutputStore;
  readonly plan: Pick<Plan, "tasks" | "lists">;
  readonly workers: number;
  /** Computes one task. Calls with the same worker do not overlap. */
  readonly run: (task: Task, worker: number) => Promise<StoredObject>;
  /** Called for each object, also for those that are in the store already. It can throw to stop the execution. */
  readonly onObject: (task: Task, object: StoredObject, isNew: boolean) => void;
}

const tasksOfRequest = 256;

/** A task that failed. */
export class TaskFailure extends Error {
  constructor(
    readonly task: Task,
    override readonly cause: unknown,
  ) {
    super(`the task ${task.key} failed`);
  }
}

/**
 * Computes the tasks that the store lacks. A task starts when all objects that it reads are stored; of those that can start,
 * the earliest stage comes first. After a failure no task starts.
 *
 * @returns the number of objects
 * @throws TaskFailure with the first failure
 */
export async function execute({ store, plan, workers, run, onObject }: ExecuteOptions): Promise<number> {
  const { tasks } = plan;
  const queue = new TaskQueue(plan);
  const objects = queue.left;
  // Some at a time, because all accounts together grow with the corpus.
  for (let at = 0; at < tasks.length; at += tasksOfRequest) {
    const some = tasks.slice(at, at + tasksOfRequest);
    const found = await findObjects(
      store,
      some.map(({ key }) => key),
    );
    for (const [i, task] of some.entries()) {
      const object = found[i];
      if (object === undefined) continue;
      queue.finish(task);
      onObject(task, object, false);
    }
  }
  let failure: unknown;
  const work = async (worker: number): Promise<void> => {
    for (;;) {
      const task = failure === undefined ? await queue.next() : undefined;
      if (task === undefined) return;
      try {
        onObject(task, await run(task, worker), true);
        queue.finish(task);
      } catch (error) {
        failure ??= new TaskFailure(task, error);
        queue.close();
      }
    }
  };
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
  if (failure !== undefined) throw failure;
  return objects;
}

/** Tasks whose inputs are stored come out in the order of the list. Memory is linear in the tasks: a list of inputs is one thing to wait for. */
class TaskQueue {
  readonly #tasks: readonly Task[];
  /** By place in the list. */
  readonly #isReady: boolean[];
  readonly #missing: number[];
  /** No task before this place is ready. */
  #first = 0;
  readonly #waiting: (() => void)[] = [];
  /** Key of an object or of a list of inputs → places of the tasks that read it. */
  readonly #readers = new Map<string, number[]>();
  /** Key of an object → lists that have it. */
  readonly #listsOf = new Map<string, string[]>();
  /** List → objects that are missing. */
  readonly #missingOfList = new Map<string, number>();
  readonly #done = new Set<string>();
  #left: number;
  #isClosed = false;

  constructor({ tasks, lists }: Pick<Plan, "tasks" | "lists">) {
    this.#tasks = tasks;
    const keys = new Set(tasks.map(({ key }) => key));
    this.#left = keys.size;
    for (const [list, objects] of lists) {
      const distinct = new Set(objects);
      this.#missingOfList.set(list, distinct.size);
      for (const key of distinct) entryOf(this.#listsOf, key).push(list);
    }
    this.#missing = tasks.map(({ after, inputs }, at) => {
      const needed = new Set([...after.filter((key) => keys.has(key)), ...inputs.map(({ list }) => list)]);
      for (const key of needed) entryOf(this.#readers, key).push(at);
      return needed.size;
    });
    this.#isReady = this.#missing.map((missing) => missing === 0);
  }

  /** Objects that are not stored. */
  get left(): number {
    return this.#left;
  }

  /** The next task that can start; undefined after the last. */
  async next(): Promise<Task | undefined> {
    for (;;) {
      const task = this.#takeReady();
      if (task !== undefined) return task;
      if (this.#left === 0 || this.#isClosed) return undefined;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  finish({ key }: Task): void {
    if (this.#done.has(key)) return;
    this.#done.add(key);
    this.#left--;
    let ready = this.#provide(key);
    for (const list of this.#listsOf.get(key) ?? []) {
      const missing = (this.#missingOfList.get(list) ?? 0) - 1;
      this.#missingOfList.set(list, missing);
      if (missing === 0) ready += this.#provide(list);
    }
    this.#wake(this.#left === 0 ? this.#waiting.length : ready);
  }

  close(): void {
    this.#isClosed = true;
    this.#wake(this.#waiting.length);
  }

  /** Counts an object or a list as stored. Returns how many tasks can start thereby. */
  #provide(key: string): number {
    let ready = 0;
    for (const reader of this.#readers.get(key) ?? []) {
      const missing = (this.#missing[reader] ?? 0) - 1;
      this.#missing[reader] = missing;
      if (missing > 0) continue;
      ready++;
      this.#isReady[reader] = true;
      this.#first = Math.min(this.#first, reader);
    }
    return ready;
  }

  #takeReady(): Task | undefined {
    if (this.#isClosed) return undefined;
    for (; this.#first < this.#tasks.length; this.#first++) {
      if (this.#isReady[this.#first] !== true) continue;
      const task = this.#tasks[this.#first];
      this.#isReady[this.#first] = false;
      if (task !== undefined && !this.#done.has(task.key)) return task;
    }
    return undefined;
  }

  #wake(count: number): void {
    for (const resolve of this.#waiting.splice(0, count)) resolve();
  }
}

function entryOf<T>(map: Map<string, T[]>, key: string): T[] {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made: T[] = [];
  map.set(key, made);
  return made;
}
