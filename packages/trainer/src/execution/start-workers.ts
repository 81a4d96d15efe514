import type { SlicePlace } from "@lapidary/api/api-values";
import { eventError } from "@lapidary/api/run-events";
import type { WorkerGroup, WorkerGroupOptions } from "@lapidary/cluster";
import { LapidaryError } from "@lapidary/std";
import type { Run } from "@lapidary/telemetry";
import type { ExecutionOptions } from "./execution-options.js";
import type { WorkerCountPolicy } from "./worker-count-policy.js";

/** The files of a run, as far as events go there. */
export type EventRecord = Pick<Run, "record">;

/** Starts the workers. If some cannot be started several times in a row, the next attempt has fewer workers. */
export async function startWorkers(
  run: EventRecord,
  workerCount: WorkerCountPolicy,
  startGroup: ExecutionOptions["startGroup"],
  options: Omit<WorkerGroupOptions, "runId" | "workers">,
): Promise<WorkerGroup> {
  try {
    const group = await startGroup({ ...options, workers: workerCount.current });
    workerCount.started();
    return group;
  } catch (error) {
    const from = workerCount.current;
    if (error instanceof LapidaryError && error.code === "LAP_WORKER_START" && workerCount.refused())
      run.record({ type: "worker_count_changed", from, to: workerCount.current, wanted: workerCount.wanted });
    throw error;
  }
}

/** Records the workers of an attempt, and which of them replace a process of the previous attempt. */
export function recordGroup(
  run: EventRecord,
  attempt: number,
  slice: SlicePlace,
  pids: readonly number[],
  workerCount: WorkerCountPolicy,
): void {
  const before = workerCount.pids;
  workerCount.pids = pids;
  for (const [worker, pid] of pids.entries()) {
    const previous_pid = before[worker];
    if (previous_pid !== undefined && previous_pid !== pid && pids.length === before.length)
      run.record({ type: "worker_restarted", worker, pid, previous_pid });
  }
  run.record({ type: "worker_group_started", attempt, slice, workers: pids.map((pid, worker) => ({ worker, pid })) });
}

/** Returns the workers to the pool. */
export async function release(group: WorkerGroup, run: EventRecord, keepReplicas: boolean): Promise<void> {
  try {
    await group.close({ keepReplicas });
  } catch (error) {
    run.record({ type: "worker_leave_failed", error: eventError(error) });
  }
}
