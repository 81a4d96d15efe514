import type { RunEvent } from "@lapidary/api/run-events";
import { WorkerManager } from "@lapidary/coordinator/worker-manager";
import { assert } from "@lapidary/std";
import type { TrainResult } from "@lapidary/trainer";
import type { Disk } from "@lapidary/checkpoint";
import { executeJob, type SimJob } from "./sim-job.js";
import type { SimMachine } from "./sim-machine.js";
import type { SimProcess, SimThread } from "./sim-process.js";

export interface CoordinatorOptions {
  readonly machine: SimMachine;
  readonly jobs: readonly SimJob[];
  /** Directory of its sockets and of its registry of workers. Coordinators of one home have the same. */
  readonly home: string;
  readonly lease_s: number;
  readonly spares: number;
  readonly onEvent: (job: SimJob, event: RunEvent) => void;
  readonly onEnded: (coordinator: SimCoordinator, job: SimJob, outcome: TrainResult | Error) => void;
  readonly diesUnreported: (coordinator: SimCoordinator) => boolean;
}

/** A simulated worker loads its kernels in less than a second. */
const startTimeoutMs = 20_000;
/** Longest time for which a channel waits for the end of its peer. */
const closing_ms = 6000;

/** A coordinator process: the production code of its workers and of its runs, on a simulated machine. It ends when its jobs have ended. */
export class SimCoordinator {
  readonly process: SimProcess;
  readonly home: string;
  /** By job: how it ended in this process. */
  readonly outcomes = new Map<SimJob, TrainResult | Error>();
  readonly #options: CoordinatorOptions;
  readonly #thread: SimThread;
  readonly #disk: Disk;
  readonly #drain = new AbortController();

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.home = options.home;
    this.process = options.machine.startProcess("coordinator");
    this.#thread = this.process.thread();
    this.#disk = options.machine.disk.of(() => this.process.isAlive);
    this.#live().catch((error: unknown) => {
      if (this.process.isAlive) options.machine.crashes.push(error);
    });
  }

  /** SIGTERM: runs end after the steps in flight, with a checkpoint. */
  drain(): void {
    this.#drain.abort(new Error("drained"));
  }

  async #live(): Promise<void> {
    const { machine, jobs, home, lease_s, spares } = this.#options;
    const manager = await WorkerManager.start({
      workers: 0,
      spares,
      environment: {},
      log: { info: () => undefined, warn: () => undefined, error: () => undefined },
      directory: home,
      failover: {
        registry: `${home}/workers.json`,
        lease_s,
        isActive: (run) => jobs.some((job) => job.id === run && !this.outcomes.has(job)),
        onError: () => undefined,
      },
      host: machine.hostFor(this.#thread),
      startTimeoutMs,
    });
    await Promise.all(jobs.map((job) => this.#execute(manager, job)));
    await manager.close();
    // Channels that were closed on both sides need a moment for their timers.
    await new Promise<void>((resolve) => machine.time.at(closing_ms, resolve));
    if (!this.process.isAlive) return;
    assert(this.#thread.timers === 0, "no timer of a coordinator runs after its pool is closed", this.#thread.timers);
    this.process.end({ code: 0, signal: null });
  }

  async #execute(manager: WorkerManager, job: SimJob): Promise<void> {
    let outcome: TrainResult | Error;
    try {
      outcome = await executeJob({
        job,
        manager,
        runtime: this.#thread.runtime,
        disk: this.#disk,
        signal: new AbortController().signal,
        drain: this.#drain.signal,
        onEvent: (event) => {
          if (this.process.isAlive) this.#options.onEvent(job, event);
        },
        diesUnreported: () => !this.process.isAlive || this.#options.diesUnreported(this),
      });
    } catch (error) {
      outcome = error instanceof Error ? error : new Error(String(error));
    }
    if (!this.process.isAlive) return;
    this.outcomes.set(job, outcome);
    this.#options.onEnded(this, job, outcome);
    manager.release(job.id);
  }
}
