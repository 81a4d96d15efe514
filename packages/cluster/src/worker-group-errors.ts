import { LapidaryError, assertNever } from "@lapidary/std";
import type { HeldReplicas } from "@lapidary/protocol";
import { nodeRemedy, supportedNode } from "../../../tools/setup/node-version.mjs";
import type { EvictionReason } from "@lapidary/api/run-events";

/** How a worker process ended. */
export interface WorkerExit {
  readonly name: string;
  readonly pid: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The coordinator ended it while it was alive, and why. */
  readonly eviction?: Eviction;
  /** The coordinator requested the end. */
  readonly isExpected: boolean;
  /** The worker that it was, of which run. */
  readonly heldReplicas?: HeldReplicas;
}

/** The reason for the eviction of a worker that is alive, and how long the coordinator waited for it. */
export interface Eviction {
  readonly reason: EvictionReason;
  readonly waited_ms: number;
}

function evictionText({ reason, waited_ms }: Eviction): string {
  switch (reason) {
    case "no_heartbeat":
      return `no heartbeat for ${Math.round(waited_ms)} ms`;
    case "no_answer":
      return `no worker has answered for ${Math.round(waited_ms / 1000)} s`;
    case "no_connection":
      return "it did not connect to this coordinator";
    case "not_ready":
      return `it had not loaded its kernels after ${Math.round(waited_ms / 1000)} s`;
    case "did_not_leave":
      return "it did not leave the worker group of the previous coordinator";
    default:
      return assertNever(reason);
  }
}

export function workerLost({ name, pid, code, signal, eviction }: WorkerExit, rank?: number): LapidaryError {
  const target = rank === undefined ? name : `worker ${rank} (${name}, pid ${pid})`;
  if (eviction !== undefined) return workerEvicted(target, rank ?? name, pid, eviction);
  const how = signal === null ? `exited with code ${code ?? "unknown"}` : `was ended by ${signal}`;
  return new LapidaryError({
    code: "LAP_WORKER_LOST",
    message: `${target} ${how}${signal === "SIGKILL" ? " (the system does so when memory runs out)" : ""}`,
    location: `worker ${rank ?? name} pid ${pid} ${signal ?? `code ${code ?? "unknown"}`}`,
    remedy:
      signal === "SIGKILL"
        ? "`dmesg` says whether memory ran out: if so lower train.batch, set remat, or give the job fewer workers; the step in flight is not committed"
        : "`lapidary logs RUN` shows the last lines of the worker; the step in flight is not committed",
  });
}

/** Checked before a job starts: with another version of Node, workers end or compute without their kernels. */
export function wrongNode(): LapidaryError {
  return new LapidaryError({
    code: "LAP_NODE_VERSION",
    message: `this is Node ${process.versions.node}; workers run on ${supportedNode}`,
    location: process.execPath,
    remedy: nodeRemedy,
  });
}

function workerEvicted(target: string, rank: number | string, pid: number, eviction: Eviction): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_LOST",
    message: `${target} was unresponsive and was killed: ${evictionText(eviction)}`,
    location: `worker ${rank} pid ${pid} SIGKILL`,
    remedy: "check whether the machine was suspended or out of memory; the step in flight is not committed",
  });
}

/** @param cause if it has a code, the message contains its code and location, and its remedy is the remedy */
export function workerDidNotStart(name: string, cause: Error): LapidaryError {
  const message = `worker ${name} did not start:`;
  if (!(cause instanceof LapidaryError))
    return new LapidaryError({ code: "LAP_WORKER_START", message: `${message} ${cause.message}`, location: name, cause });
  const location = cause.location === undefined ? "" : ` (${cause.location})`;
  return new LapidaryError({
    code: "LAP_WORKER_START",
    message: `${message} ${cause.code}${location}: ${cause.message}`,
    location: name,
    remedy: cause.remedy,
    cause,
  });
}

export function workerGroupClosed(): LapidaryError {
  return new LapidaryError({ code: "LAP_WORKER_GROUP_CLOSED", message: "the worker group was closed" });
}
