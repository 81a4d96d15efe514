import { ShardWorker, type Store } from "@lapidary/control";
import { childProcess, runRobustly, type SetAside, type Task, type TaskRunner } from "@lapidary/data-pipeline";
import { ObjectStore } from "@lapidary/data-store";
import { asJson, type JsonValue } from "@lapidary/std";
import { z } from "zod";
import { readTaskList, type TaskPointer } from "./task-list.js";

const taskPointer = z.object({ out: z.string(), list: z.string() });

export interface TaskWorkerOptions {
  /** Child processes that compute. */
  readonly cores: number;
  readonly lockMs?: number;
  /** Starts what computes the tasks of one slot. Default: a child process. */
  readonly startRunner?: ((out: string) => TaskRunner) | undefined;
  readonly onTask: (task: Task, state: "started" | "stored") => void;
  readonly onError: (error: Error) => void;
}

/** Computes tasks of pipelines that planners put into a queue. This process renews locks, and its children compute. */
export class TaskWorker {
  readonly #worker: ShardWorker;
  readonly #options: TaskWorkerOptions;
  /** By slot. A process serves one output directory. */
  readonly #processes: { readonly out: string; readonly process: TaskRunner }[] = [];
  #list: { readonly pointer: TaskPointer; readonly tasks: ReadonlyMap<string, Task> } | undefined;

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
    const task = this.#taskOf(key, pointer);
    // A later plan replaced the list: its planner adds what it needs.
    if (task === undefined) return asJson({ set_aside: [] });
    this.#options.onTask(task, "started");
    const setAside: SetAside[] = [];
    const process = this.#processOf(pointer.out, slot);
    await runRobustly(
      new ObjectStore(pointer.out),
      task,
      (request) => process.request(request),
      (document) => setAside.push(document),
    );
    this.#options.onTask(task, "stored");
    return asJson({ set_aside: setAside.map(({ stage, shard, id }) => ({ stage, shard, id })) });
  }

  #taskOf(key: string, pointer: TaskPointer): Task | undefined {
    if (this.#list?.pointer.list !== pointer.list || this.#list.pointer.out !== pointer.out) {
      const tasks = readTaskList(pointer);
      if (tasks === undefined) return undefined;
      this.#list = { pointer, tasks };
    }
    return this.#list.tasks.get(key);
  }

  #processOf(out: string, slot: number): TaskRunner {
    const found = this.#processes[slot];
    if (found?.out === out) return found.process;
    found?.process.kill();
    const process = (this.#options.startRunner ?? childProcess)(out);
    this.#processes[slot] = { out, process };
    return process;
  }
}
