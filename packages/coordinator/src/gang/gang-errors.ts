import { LapidaryError } from "@lapidary/std";
import { nodeRemedy, supportedNode } from "../../../../tools/setup/node-version.mjs";

/** How a worker process ended. */
export interface WorkerExit {
  readonly name: string;
  readonly pid: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It gave no sign of life, and was ended for that. */
  readonly silence?: string;
}

export function workerLost({ name, pid, code, signal, silence }: WorkerExit, rank?: number): LapidaryError {
  const who = rank === undefined ? name : `worker ${rank} (${name}, pid ${pid})`;
  if (silence !== undefined) return workerFrozen(who, rank ?? name, pid, silence);
  const how = signal === null ? `exited with code ${code ?? "unknown"}` : `was ended by ${signal}`;
  return new LapidaryError({
    code: "LAP_WORKER_LOST",
    message: `${who} ${how}${signal === "SIGKILL" ? " (the system does so when memory runs out)" : ""}`,
    place: `worker ${rank ?? name} pid ${pid} ${signal ?? `code ${code ?? "unknown"}`}`,
    remedy:
      signal === "SIGKILL"
        ? "`dmesg` says whether memory ran out: if so lower train.batch, set remat, or give the job fewer workers; the step in flight is not committed"
        : "`lapidary logs RUN` shows the last lines of the worker; the step in flight is not committed",
  });
}

/** Found before a job starts: on another Node workers end, or compute without their kernels. */
export function wrongNode(): LapidaryError {
  return new LapidaryError({
    code: "LAP_NODE_VERSION",
    message: `this is Node ${process.versions.node}; workers run on ${supportedNode}`,
    place: process.execPath,
    remedy: nodeRemedy,
  });
}

function workerFrozen(who: string, rank: number | string, pid: number, silence: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_LOST",
    message: `${who} was frozen and has been ended: ${silence}`,
    place: `worker ${rank} pid ${pid} SIGKILL`,
    remedy: "look whether the machine was suspended or out of memory; the step in flight is not committed",
  });
}

export function workerDidNotStart(name: string, why: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_START",
    message: `worker ${name} did not start: ${why}`,
    place: name,
    cause,
  });
}

export function gangClosed(): LapidaryError {
  return new LapidaryError({ code: "LAP_GANG_CLOSED", message: "the gang was closed" });
}
