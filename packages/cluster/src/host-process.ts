import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { NumericsName } from "@lapidary/protocol";
import { workerMain } from "@lapidary/worker";
import { isRunning, type ProcessId, processId, signalProcess } from "@lapidary/std/process-id";
import { isChatter, workerEnvironment, workerFlags } from "./worker-environment.js";

/** How a process ended, as far as that can be known. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not be started at all. */
  readonly cause?: Error;
}

/** The process of a worker, as the coordinator needs it: its child, or one that it took over. */
export interface HostProcess {
  readonly id: ProcessId;
  /** Settles, and never rejects, when it is gone. */
  readonly ended: Promise<ProcessEnd>;
  kill(signal: NodeJS.Signals): void;
}

export interface SpawnOptions {
  readonly name: string;
  /** The socket on which the pool listens. */
  readonly socket: string;
  readonly numerics: NumericsName;
  readonly environment: NodeJS.ProcessEnv;
  /** How long it may wait for another coordinator when this one dies. */
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
  if (child.stderr)
    createInterface({ input: child.stderr }).on("line", (line) => {
      if (!isChatter(line)) log(line);
    });
  return {
    id: processId(child.pid ?? -1),
    ended: new Promise((resolve) => {
      child.on("exit", (code, signal) => resolve({ code, signal }));
      child.on("error", (cause) => {
        if (child.pid === undefined) resolve({ code: null, signal: null, cause });
      });
    }),
    kill: (signal) => void child.kill(signal),
  };
}

/** How often a process that is not a child is checked: its exit is not reported. */
const lookEvery_ms = 25;

/** A process that another coordinator has spawned. */
export function adoptWorker(id: ProcessId): HostProcess {
  let signalled: NodeJS.Signals | null = null;
  return {
    id,
    ended: new Promise((resolve) => {
      const looking = setInterval(() => {
        if (isRunning(id)) return;
        clearInterval(looking);
        resolve({ code: null, signal: signalled });
      }, lookEvery_ms);
    }),
    kill(signal) {
      signalled = signal;
      signalProcess(id, signal);
    },
  };
}
