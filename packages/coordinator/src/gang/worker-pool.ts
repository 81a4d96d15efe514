import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { type Listener, bufferPool, listen } from "@lapidary/fabric";
import { assert } from "@lapidary/std";
import { type NumericsName, type WorkerHello, controlLimits } from "@lapidary/worker/protocol";
import type { WorkerExit } from "./gang-errors.js";
import { WorkerProcess } from "./worker-process.js";

export interface WorkerPoolOptions {
  /** What worker processes inherit: the environment of the process that starts the pool. */
  readonly environment: NodeJS.ProcessEnv;
  /** Processes to keep, in a gang or waiting for one with their kernels loaded. Default: one a core. */
  readonly warm?: number;
  /** Processes to keep waiting beside those that are in a gang: they stand in for one that dies. Default 0. */
  readonly spares?: number;
  /** Numerics that waiting workers are made for; workers for the others are started when they are wanted. Default f32. */
  readonly numerics?: NumericsName;
  /** Where sockets lie; a fresh directory under the temporary one by default. Its path must be short. */
  readonly directory?: string;
  /** Lines that workers write to stderr: JSON, or what a crash left. */
  readonly log?: (worker: string, line: string) => void;
  /** Hears of every worker process that ended, expected or not. */
  readonly onExit?: (exit: WorkerExit) => void;
}

/** How many worker processes use this machine fully. */
export const defaultWorkers = (): number => availableParallelism();

/**
 * Worker processes that wait for work. A process takes most of a second to load its kernels, so some stand ready.
 *
 *     spawn ──► connecting ──► waiting ◄────► in a gang          exit, from anywhere: an event, and another in its place
 *
 * Workers end with this process, however it ends: each hangs on a channel to it.
 */
export class WorkerPool {
  readonly directory: string;
  readonly #options: WorkerPoolOptions;
  readonly #ownsDirectory: boolean;
  readonly #workers = new Map<string, WorkerProcess>();
  readonly #idle: WorkerProcess[] = [];
  #listener: Listener | undefined;
  #spawned = 0;
  #gangs = 0;
  #closing = false;

  private constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#ownsDirectory = options.directory === undefined;
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), "lapidary-"));
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
  }

  /** Listens and spawns the first workers; does not wait for them. */
  static async start(options: WorkerPoolOptions): Promise<WorkerPool> {
    const pool = new WorkerPool(options);
    await pool.#listen();
    pool.#fill();
    return pool;
  }

  /** Workers that are not in a gang, ready or about to be. */
  get waiting(): number {
    return this.#idle.length;
  }

  /** Processes that are alive. */
  get pids(): number[] {
    return [...this.#workers.values()].map((worker) => worker.pid);
  }

  /**
   * Takes workers out of the pool, starting as many as are missing, and waits until their kernels are loaded.
   *
   * @throws LAP_WORKER_START
   */
  async take(count: number, numerics: NumericsName = "f32"): Promise<WorkerProcess[]> {
    assert(!this.#closing, "a closed pool gives no workers");
    const taken: WorkerProcess[] = [];
    // The last that came back is the warmest.
    for (const worker of [...this.#idle].reverse()) {
      if (taken.length === count) break;
      if (worker.numerics !== numerics) continue;
      this.#idle.splice(this.#idle.indexOf(worker), 1);
      taken.push(worker);
    }
    while (taken.length < count) taken.push(this.#spawn(numerics));
    try {
      await Promise.all(taken.map((worker) => worker.ready));
    } catch (error) {
      for (const worker of taken) this.give(worker);
      throw error;
    }
    this.#fill();
    return taken;
  }

  /** Takes a worker back that left its run; more than enough of them end. */
  give(worker: WorkerProcess): void {
    if (!worker.isAlive || this.#closing) return;
    this.#idle.push(worker);
    while (this.#idle.length > this.#wanted) void this.#idle.shift()?.shutdown();
  }

  /** Paths on which the workers of a new gang find one another. */
  peerPaths(count: number): string[] {
    const gang = this.#gangs++;
    return Array.from({ length: count }, (_, rank) => join(this.directory, `g${gang}.${rank}`));
  }

  /** Ends all workers. None is left when this resolves. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all([...this.#workers.values()].map((worker) => worker.shutdown()));
    this.#listener?.close();
    if (this.#ownsDirectory) rmSync(this.directory, { recursive: true, force: true });
  }

  /** How many should wait. Stand-ins stand ready before a gang is formed: one that started beside it would take its processors while it loads. */
  get #wanted(): number {
    const { spares = 0, warm = defaultWorkers() } = this.#options;
    const busy = this.#workers.size - this.#idle.length;
    return spares + Math.max(0, warm - busy);
  }

  async #listen(): Promise<void> {
    this.#listener = await listen(
      join(this.directory, "pool"),
      (channel) => {
        const { name, pulse } = channel.peerHello as unknown as WorkerHello;
        const worker = this.#workers.get(name);
        if (worker === undefined) void channel.close();
        else if (pulse === true) worker.watch(channel);
        else worker.attach(channel);
      },
      { limits: controlLimits, pool: bufferPool(), hello: { name: "pool" } },
    );
  }

  #fill(): void {
    while (!this.#closing && this.#idle.length < this.#wanted) this.#idle.push(this.#spawn(this.#options.numerics ?? "f32"));
  }

  #spawn(numerics: NumericsName): WorkerProcess {
    const name = `w${this.#spawned++}`;
    const { environment, log = () => undefined, onExit } = this.#options;
    const worker = new WorkerProcess({ name, socket: join(this.directory, "pool"), numerics, environment, log });
    this.#workers.set(name, worker);
    let stoodReady = false;
    void worker.ready.then(
      () => {
        stoodReady = true;
      },
      () => undefined,
    );
    void worker.exited.then((exit) => {
      this.#workers.delete(name);
      const at = this.#idle.indexOf(worker);
      if (at >= 0) this.#idle.splice(at, 1);
      onExit?.(exit);
      // One that never stood ready would not do so the next time either.
      if (stoodReady) this.#fill();
    });
    return worker;
  }
}
