import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { NumericsName } from "@lapidary/protocol";
import { workerMain } from "@lapidary/worker";
import { isRunning, type ProcessId, processId, signalProcess } from "@lapidary/std/process-id";
import { startFailure } from "./start-failure.js";
import { isStartupNotice, workerEnvironment, workerFlags } from "./worker-environment.js";

/** How a process ended, as far as known. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it did not start: the error of the system, or the error that the worker logged. */
  readonly cause?: Error;
}

/** The process of a worker: a child of the coordinator, or a process that the coordinator took over. */
export interface HostProcess {
  readonly id: ProcessId;
  /** Settles, and never rejects, when the process has ended. */
  readonly ended: Promise<ProcessEnd>;
  kill(signal: NodeJS.Signals): void;
}

export interface SpawnOptions {
  readonly name: string;
  /** The socket on which the pool listens. */
  readonly socket: string;
  readonly numerics: NumericsName;
  readonly environment: NodeJS.ProcessEnv;
  /** How long the worker waits for another coordinator when this one is killed. */
  readonly lease_s: number;
  readonly log: (line: string) => void;
}

/** A child of this process. */
export function spawnWorker({ name, socket, numerics, environment, lease_s, log }: SpawnOptions): HostProcess {
  const flags = ["--socket", socket, "--name", name, "--lease", String(lease_s)];
  const child: ChildProcess = spawn(process.execPath, [...workerFlags, fileURLToPath(workerMain), ...flags], {
    env: workerEnvironment(environment, numerics),
    stdio: ["ignore", "ignore", "pipe"],
  });
  let failure: Error | undefined;
  if (child.stderr)
    createInterface({ input: child.stderr }).on("line", (line) => {
      failure = startFailure(line) ?? failure;
      if (!isStartupNotice(line)) log(line);
    });
  const endOf = (code: number | null, signal: NodeJS.Signals | null): ProcessEnd => ({
    code,
    signal,
    ...(failure === undefined ? {} : { cause: failure }),
  });
  return {
    id: processId(child.pid ?? -1),
    ended: new Promise((resolve) => {
      child.on("exit", (code, signal) => {
        if (code === 0 || signal !== null) resolve(endOf(code, signal));
      });
      // The worker failed by itself. Its last lines can arrive after its exit.
      child.on("close", (code, signal) => resolve(endOf(code, signal)));
      child.on("error", (cause) => {
        if (child.pid === undefined) resolve({ code: null, signal: null, cause });
      });
    }),
    kill: (signal) => void child.kill(signal),
  };
}

/** Interval of the check whether a process that is not a child runs, because the system does not report its exit. */
const pollInterval_ms = 25;

/** A process that another coordinator started. */
export function adoptWorker(id: ProcessId): HostProcess {
  let signalled: NodeJS.Signals | null = null;
  return {
    id,
    ended: new Promise((resolve) => {
      const poll = setInterval(() => {
        if (isRunning(id)) return;
        clearInterval(poll);
        resolve({ code: null, signal: signalled });
      }, pollInterval_ms);
    }),
    kill(signal) {
      signalled = signal;
      signalProcess(id, signal);
    },
  };
}
