import type { OutputStore, StoredObject } from "@lapidary/data-store";
import type { Task } from "../plan/plan.js";
import { findObjects } from "../view/open-view.js";

export interface ExecuteOptions {
  readonly store: OutputStore;
  /** In the order of their dependencies. */
  readonly tasks: readonly Task[];
  readonly workers: number;
  /** Computes one task. Calls with the same worker do not overlap. */
  readonly run: (task: Task, worker: number) => Promise<StoredObject>;
  /** Called for each object, also for those that are in the store already. It can throw to stop the execution. */
  readonly onObject: (task: Task, object: StoredObject, isNew: boolean) => void;
}

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
 * @throws TaskFailure with the first failure
 */
export async function execute({ store, tasks, workers, run, onObject }: ExecuteOptions): Promise<void> {
  const queue = new TaskQueue(tasks);
  const found = await findObjects(
    store,
    tasks.map(({ key }) => key),
  );
  for (const [at, task] of tasks.entries()) {
    const object = found[at];
    if (object === undefined) continue;
    queue.finish(task);
    onObject(task, object, false);
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
}

/** Tasks whose inputs are stored come out in the order of the list. */
class TaskQueue {
  readonly #tasks: readonly Task[];
  /** By place in the list. */
  readonly #isReady: boolean[];
  readonly #missing: number[];
  /** No task before this place is ready. */
  #first = 0;
  readonly #waiting: (() => void)[] = [];
  /** Key → places of the tasks that read its object. */
  readonly #readers = new Map<string, number[]>();
  readonly #done = new Set<string>();
  #left: number;
  #isClosed = false;

  constructor(tasks: readonly Task[]) {
    this.#tasks = tasks;
    const keys = new Set(tasks.map(({ key }) => key));
    this.#left = keys.size;
    this.#missing = tasks.map(({ after }, at) => {
      const inputs = new Set(after.filter((key) => keys.has(key)));
      for (const key of inputs) {
        const readers = this.#readers.get(key);
        if (readers === undefined) this.#readers.set(key, [at]);
        else readers.push(at);
      }
      return inputs.size;
    });
    this.#isReady = this.#missing.map((missing) => missing === 0);
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
    for (const reader of this.#readers.get(key) ?? []) {
      const missing = (this.#missing[reader] ?? 0) - 1;
      this.#missing[reader] = missing;
      if (missing > 0) continue;
      this.#isReady[reader] = true;
      this.#first = Math.min(this.#first, reader);
    }
    this.#wake();
  }

  close(): void {
    this.#isClosed = true;
    this.#wake();
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

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
