import type { OutputStore, StoreAccess, StoredObject } from "@lapidary/data-store";
import { ensure } from "@lapidary/std";
import type { Plan, Task } from "../plan/plan.js";
import type { NeededObjects } from "../result/needed-objects.js";
import { runRobustly, type SetAside } from "./run-robustly.js";
import { TaskProcess, type TaskRunner } from "./task-process.js";

/** Computes the tasks of a plan. */
export interface TaskExecutor {
  /** Calls of `run` at the same time, at most. */
  readonly slots: number;
  /** @param slot 0 to slots − 1; calls with the same slot do not overlap */
  run(task: Task, slot: number): Promise<StoredObject>;
  /** Ends what runs. */
  close(): void;
}

export interface ExecutorContext {
  /** The directory or the address of the store. */
  readonly location: string;
  readonly access: StoreAccess;
  readonly store: OutputStore;
  readonly plan: Plan;
  /** Keeps what an executor stores itself. */
  readonly needs: NeededObjects;
  readonly signal: AbortSignal;
  readonly onSetAside: (document: SetAside) => void;
  readonly warn: (text: string) => void;
}

/** Starts what computes the tasks of one worker. */
export type StartRunner = (location: string, access: StoreAccess) => TaskRunner;

/** Computes the tasks of one worker in a child process. */
export const childProcess: StartRunner = (location, access) =>
  new TaskProcess({ kind: "open", location, access }, new URL("./child-main.js", import.meta.url));

/** Computes tasks by `workers` runners of this process. */
export function localExecutor(
  { location, access, store, signal, onSetAside }: ExecutorContext,
  workers: number,
  startRunner: StartRunner = childProcess,
): TaskExecutor {
  const runners = Array.from({ length: workers }, () => startRunner(location, access));
  return {
    slots: workers,
    run(task, slot) {
      const request: TaskRunner["request"] = async (message) => {
        signal.throwIfAborted();
        const outcome = await ensure(runners[slot], `runner ${slot}`).request(message);
        // The abort killed the process: the document did not.
        signal.throwIfAborted();
        return outcome;
      };
      return runRobustly(store, task, request, onSetAside);
    },
    close() {
      for (const each of runners) each.kill();
    },
  };
}
