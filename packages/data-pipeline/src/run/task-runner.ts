import type { ObjectStore, StoredObject } from "@lapidary/data-store";
import { ensure } from "@lapidary/std";
import type { Plan, Task } from "../plan/plan.js";
import { TaskProcess } from "./child-pool.js";
import { runRobustly, type SetAside } from "./run-robustly.js";

/** Computes the tasks of a plan. */
export interface TaskRunner {
  /** Calls of `run` at the same time, at most. */
  readonly slots: number;
  /** @param slot 0 to slots − 1; calls with the same slot do not overlap */
  run(task: Task, slot: number): Promise<StoredObject>;
  /** Ends the processes of the runner. */
  close(): void | Promise<void>;
}

export interface TaskRunnerContext {
  /** The output directory of the pipeline. */
  readonly out: string;
  readonly store: ObjectStore;
  readonly plan: Plan;
  readonly signal: AbortSignal;
  readonly onSetAside: (document: SetAside) => void;
  readonly warn: (text: string) => void;
}

/** The program of the processes that compute. */
export const taskMain = new URL("./child-main.js", import.meta.url);

/** Computes tasks in child processes of this one. */
export function localRunner({ out, store, signal, onSetAside }: TaskRunnerContext, workers: number, main = taskMain): TaskRunner {
  const processes = Array.from({ length: workers }, () => new TaskProcess(out, main));
  return {
    slots: workers,
    run(task, slot) {
      const request: TaskProcess["request"] = async (message) => {
        signal.throwIfAborted();
        const outcome = await ensure(processes[slot], `process ${slot}`).request(message);
        // The abort killed the process: the document did not.
        signal.throwIfAborted();
        return outcome;
      };
      return runRobustly(store, task, request, onSetAside);
    },
    close() {
      for (const each of processes) each.kill();
    },
  };
}
