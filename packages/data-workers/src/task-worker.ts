import { ShardWorker, type Store } from "@lapidary/control";
import { childProcess, runRobustly, type SetAside, type StartRunner, type Task, type TaskRunner } from "@lapidary/data-pipeline";
import { openStore, type OutputStore, type StoreAccess } from "@lapidary/data-store";
import { asJson, type JsonValue } from "@lapidary/std";
import { readTaskList, type TaskPointer, taskPointer } from "./task-list.js";

export interface TaskWorkerOptions {
  /** Child processes that compute. */
  readonly cores: number;
  /** How this host reaches stores and sources. */
  readonly access: StoreAccess;
  readonly lockMs?: number;
  /** Starts what computes the tasks of one slot. Default: a child process. */
  readonly startRunner?: StartRunner | undefined;
  readonly onTask: (task: Task, state: "started" | "stored") => void;
  readonly onError: (error: Error) => void;
}

/** Lists of tasks that a worker keeps. The tasks in the queue are neighbours in the plan. */
const listsInMemory = 4;

/** Computes tasks of pipelines that planners put into a queue. This process renews locks, and its children compute. */
export class TaskWorker {
  readonly #worker: ShardWorker;
  readonly #options: TaskWorkerOptions;
  /** By slot. A process serves one store. */
  readonly #processes: { readonly location: string; readonly process: TaskRunner }[] = [];
  /** The lists that were used last, the latest one at the end. */
  #lists: { readonly pointer: TaskPointer; readonly tasks: ReadonlyMap<string, Task> }[] = [];

  constructor(store: Store, options: TaskWorkerOptions) {
    this.#options = options;
    this.#worker = new ShardWorker(store, {
      capacity: options.cores,
      onError: options.onError,
      ...(options.lockMs === undefined ? {} : { lockMs: options.lockMs }),
      run: (key, payload, slot) => this.#run(key, taskPointer.parse(payload), slot),
    });
  }

  /** Ends the processes. Other workers get their tasks. */
  async close(): Promise<void> {
    await this.#worker.close();
    for (const { process } of this.#processes) process.kill();
  }

  async #run(key: string, pointer: TaskPointer, slot: number): Promise<JsonValue> {
    const store = openStore(pointer.store, this.#options.access);
    const task = await this.#taskOf(key, pointer, store);
    // A later plan replaced the list: its planner adds what it needs.
    if (task === undefined) return asJson({ set_aside: [] });
    if ((await store.find(task.key)) !== undefined) return asJson({ set_aside: [] });
    this.#options.onTask(task, "started");
    const setAside: SetAside[] = [];
    const process = this.#processOf(pointer.store, slot);
    await runRobustly(
      store,
      task,
      (request) => process.request(request),
      (document) => setAside.push(document),
    );
    this.#options.onTask(task, "stored");
    return asJson({ set_aside: setAside.map(({ stage, shard, id }) => ({ stage, shard, id })) });
  }

  async #taskOf(key: string, pointer: TaskPointer, store: OutputStore): Promise<Task | undefined> {
    const isOf = (other: TaskPointer): boolean => other.list === pointer.list && other.store === pointer.store;
    const tasks = this.#lists.find((each) => isOf(each.pointer))?.tasks ?? (await readTaskList(store, pointer.list));
    if (tasks === undefined) return undefined;
    this.#lists = [...this.#lists.filter((each) => !isOf(each.pointer)), { pointer, tasks }].slice(-listsInMemory);
    return tasks.get(key);
  }

  #processOf(location: string, slot: number): TaskRunner {
    const found = this.#processes[slot];
    if (found?.location === location) return found.process;
    found?.process.kill();
    const process = (this.#options.startRunner ?? childProcess)(location, this.#options.access);
    this.#processes[slot] = { location, process };
    return process;
  }
}
