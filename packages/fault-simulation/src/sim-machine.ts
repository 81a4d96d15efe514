import { type ProcessEnd, type SpawnOptions, type WorkerHost } from "@lapidary/cluster";
import type { RegisteredWorker } from "@lapidary/api/worker-registry";
import { type WorkerHello, buildId, encodeAnswer, heartbeatTimes } from "@lapidary/protocol";
import { ensure, LapidaryError } from "@lapidary/std";
import type { ProcessId } from "@lapidary/std/process-id";
import { joinOver, sendHeartbeats, serveCoordinators, Worker } from "@lapidary/worker/runtime";
import { type DeviceFaults, simDevice } from "./sim-device.js";
import type { SimDisk } from "./sim-disk.js";
import type { SimNetwork } from "./sim-network.js";
import { SimProcess, type SimThread } from "./sim-process.js";
import type { VirtualTime } from "./virtual-time.js";

/** Longest time in which a simulated worker loads its kernels. */
const load_ms = 200;

/** A worker process, with its threads. */
export interface SimWorkerProcess {
  readonly process: SimProcess;
  readonly main: SimThread;
}

/** A machine: its processes, its network, and the registries of workers on it. */
export class SimMachine {
  readonly workers = new Map<number, SimWorkerProcess>();
  /** By path. */
  readonly #registries = new Map<string, readonly RegisteredWorker[]>();
  #pids = 100;
  /** No process can be started while this is set. */
  refusesProcesses = false;
  /** Errors of simulated processes that no code has handled. */
  readonly crashes: unknown[] = [];

  constructor(
    readonly time: VirtualTime,
    readonly network: SimNetwork,
    readonly disk: SimDisk,
    readonly faults: DeviceFaults,
  ) {}

  startProcess(name: string): SimProcess {
    return new SimProcess(this.time, this.network, this.#pids++, name);
  }

  /** The living worker processes. */
  get living(): SimWorkerProcess[] {
    return [...this.workers.values()].filter(({ process }) => process.isAlive);
  }

  /** This machine, for a pool of workers in a thread of a coordinator. */
  hostFor(thread: SimThread): WorkerHost {
    return {
      runtime: thread.runtime,
      pid: thread.process.pid,
      spawn: (options) => this.#spawn(thread, options),
      adopt: ({ pid }) => {
        const process = this.workers.get(pid)?.process;
        let signalled: NodeJS.Signals | null = null;
        return {
          id: { pid, started: process?.started ?? "" },
          ended: this.#endOf(thread, process, (end) => ({ ...end, code: null, signal: signalled })),
          kill: (signal) => {
            signalled = signal;
            process?.kill(signal);
          },
        };
      },
      signal: ({ pid }, signal) => this.workers.get(pid)?.process.kill(signal),
      openDirectory: (path) => ensure(path, "directory of sockets"),
      removeSockets: (directory, named) => this.network.removeSockets(directory, named),
      removeDirectory: () => undefined,
      registry: {
        read: (path) => ({
          workers: (this.#registries.get(path) ?? []).filter(({ pid }) => this.workers.get(pid)?.process.isAlive === true),
          incompatible: [],
        }),
        write: (path, workers) => {
          if (this.disk.broken !== undefined)
            throw Object.assign(new Error(`${this.disk.broken}, write`), { code: this.disk.broken, syscall: "write" });
          this.#registries.set(path, workers);
        },
        remove: (path) => void this.#registries.delete(path),
      },
    };
  }

  #spawn(parent: SimThread, { name, socket, lease_s }: SpawnOptions): ReturnType<WorkerHost["spawn"]> {
    const process = this.startProcess(name);
    const id: ProcessId = { pid: process.pid, started: process.started };
    const ended = this.#endOf(parent, process, (end) => end);
    if (this.refusesProcesses) {
      const cause = new LapidaryError({ code: "LAP_WORKER_FAILED", message: "out of memory", remedy: "none" });
      this.time.at(1, () => process.end({ code: 1, signal: null, cause }));
    } else {
      const main = process.thread();
      this.workers.set(process.pid, { process, main });
      process.onEnd(() => this.workers.delete(process.pid));
      this.#runWorker(process, main, socket, lease_s);
    }
    return { id, ended, kill: (signal) => process.kill(signal) };
  }

  /** The end of a process, as another process learns of it. */
  #endOf(thread: SimThread, process: SimProcess | undefined, seen: (end: ProcessEnd) => ProcessEnd): Promise<ProcessEnd> {
    return new Promise((resolve) => {
      const report = (end: ProcessEnd): void => {
        this.time.at(1 + this.time.random.next() * 40, () => thread.execute(() => resolve(seen(end))));
      };
      if (process?.isAlive === true) process.onEnd(report);
      else report({ code: null, signal: null });
    });
  }

  /** The production code of a worker process. */
  #runWorker(process: SimProcess, main: SimThread, socket: string, lease_s: number): void {
    const { runtime } = main;
    const hello: WorkerHello = { name: process.name, pid: process.pid, build: buildId() };
    const crash = (error: unknown): void => {
      if (!process.isAlive) return;
      if (!(error instanceof LapidaryError)) this.crashes.push(error);
      process.end({ code: 1, signal: null });
    };
    serveCoordinators({
      socket,
      hello,
      leaseMs: lease_s * 1000,
      runtime,
      log: () => undefined,
      takenOver: (coordinator) => coordinator.send(encodeAnswer({ kind: "log", line: "taken over" })),
      exit: () => process.end({ code: 0, signal: null }),
      open: async () => {
        let ticks = 0;
        runtime.timer.every(heartbeatTimes.everyMs, () => ticks++);
        const heartbeats = process.thread();
        sendHeartbeats({ socket, hello, eventLoopTicks: () => ticks, runtime: heartbeats.runtime }).catch(crash);
        await new Promise<void>((resolve) => runtime.timer.after(this.time.random.next() * load_ms, resolve));
        const worker = new Worker(simDevice(main, this.faults), runtime.clock, { join: joinOver(runtime) });
        return { worker, ready: { kind: "ready", backend: "wasm", fallbackReason: null } };
      },
    }).catch(crash);
  }
}
