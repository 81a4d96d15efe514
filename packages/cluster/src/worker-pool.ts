import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type Channel, type Listener, type Runtime, bufferPool, listen } from "@lapidary/fabric";
import { LapidaryError, asJson, assert } from "@lapidary/std";
import {
  type HeldReplicas,
  type NumericsName,
  type PoolHello,
  type WorkerHello,
  buildId,
  controlLimits,
  decodeWorkerHello,
  heartbeatTimes,
} from "@lapidary/protocol";
import { isSupportedNode } from "../../../tools/setup/node-version.mjs";
import { type WorkerExit, wrongNode } from "./worker-group-errors.js";
import type { EvictionReason } from "@lapidary/api/run-events";
import type { HostProcess } from "./host-process.js";
import { systemHost, type WorkerHost } from "./worker-host.js";
import { WorkerProcess } from "./worker-process.js";

export interface WorkerPoolOptions {
  /** The environment of worker processes. */
  readonly environment: NodeJS.ProcessEnv;
  /** Processes to keep, in a worker group or idle with their kernels loaded. Default: one a core. */
  readonly warm?: number;
  /** Idle processes to keep in addition to those in worker groups. They replace workers that end. Default 0. */
  readonly spares?: number;
  /** Numerics of idle workers. Workers with other numerics are started when they are needed. Default f32. */
  readonly numerics?: NumericsName;
  /** Directory of the sockets; by default a new directory in the temporary directory. Its path must be short. */
  readonly directory?: string;
  /** Workers outlive this process, and a later one takes them over. By default they end with it. */
  readonly failover?: Failover;
  /** Time in which a new worker must load its kernels; afterwards it is evicted. Default 10 minutes: usually it takes a second. */
  readonly startTimeoutMs?: number;
  /** Default: this machine. */
  readonly host?: WorkerHost;
  /** Called with lines that workers write to stderr: JSON, or the text of a crash. */
  readonly log?: (worker: string, line: string) => void;
  /** Called with every worker process that ended, expected or not. */
  readonly onExit?: (exit: WorkerExit) => void;
}

/** Several pools, one after the other, at the same directory with the same workers. */
export interface Failover {
  /** The file in which each pool records its workers. */
  readonly registry: string;
  /** How long workers wait for the next pool. */
  readonly lease_s: number;
  /** Whether a run may continue, so that its replicas are needed. */
  readonly isActive: (run: string) => boolean;
  /** The registry could not be written: the next pool will not know some workers, which end when their lease expires. */
  readonly onError: (error: Error) => void;
}

/** The number of worker processes that uses this machine fully. */
export const defaultWorkers = (): number => availableParallelism();

/** Time in which a worker that is taken over must leave its previous worker group. */
const leaveTimeout_ms = 10_000;

const defaultStartTimeout_ms = 600_000;

/**
 * Idle worker processes. A process takes most of a second to load its kernels, so some are started in advance.
 *
 *     spawn ─────► connecting ──► waiting ◄────► in a worker group          exit, in any state: an event, and a new worker
 *     take over ──────┘  ▲                          │
 *                        └── a pool that was killed ┘
 *
 * Without failover workers end with this process, however it ends, because their channel closes. With failover they wait for the next pool at
 * the same directory, which knows them from the registry.
 */
export class WorkerPool {
  readonly directory: string;
  readonly #options: WorkerPoolOptions;
  readonly #host: WorkerHost;
  readonly #ownsDirectory: boolean;
  readonly #workers = new Map<string, WorkerProcess>();
  readonly #idle: WorkerProcess[] = [];
  /** Surplus workers that are ending. */
  readonly #ending = new Set<WorkerProcess>();
  /** Settles when all workers that were taken over are ready or have ended. Only then their replicas are known. */
  #settled: Promise<unknown> = Promise.resolve();
  #listener: Listener | undefined;
  #named = 0;
  #groups = 0;
  #closing = false;

  private constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#host = options.host ?? systemHost;
    this.#ownsDirectory = options.directory === undefined;
    this.directory = this.#host.openDirectory(options.directory);
  }

  /** Listens, takes over the workers of an earlier pool, and starts the missing ones without waiting for them. @throws LAP_NODE_VERSION */
  static async start(options: WorkerPoolOptions): Promise<WorkerPool> {
    if (!isSupportedNode()) throw wrongNode();
    const pool = new WorkerPool(options);
    await pool.#listen();
    if (options.failover !== undefined) pool.#takeOver(options.failover);
    pool.#fill();
    return pool;
  }

  /** The clock, the timers and the network of this process. */
  get runtime(): Runtime {
    return this.#host.runtime;
  }

  /** Workers that are not in a worker group, ready or starting. */
  get waiting(): number {
    return this.#idle.length;
  }

  /** Processes that are alive. */
  get pids(): number[] {
    return [...this.#workers.values()].map((worker) => worker.pid);
  }

  /**
   * Takes workers out of the pool, starts the missing ones, and waits until their kernels are loaded. Workers with replicas of `run` come first, each with
   * its rank. Workers with replicas of another run stay reserved for it.
   *
   * @throws LAP_WORKER_START
   */
  async acquire(count: number, numerics: NumericsName = "f32", run?: string): Promise<WorkerProcess[]> {
    await this.#settled;
    assert(!this.#closing, "a closed pool gives no workers");
    // The worker that was released last has the warmest caches.
    const fitting = this.#idle.filter((worker) => worker.numerics === numerics).reverse();
    const places = Array.from({ length: count }, (_, rank) =>
      fitting.find(({ heldReplicas }) => heldReplicas !== undefined && heldReplicas.run === run && heldReplicas.worker === rank),
    );
    const others = fitting
      .filter(({ heldReplicas }) => heldReplicas === undefined || heldReplicas.run === run)
      .filter((worker) => !places.includes(worker));
    others.sort((a, b) => Number(b.heldReplicas !== undefined) - Number(a.heldReplicas !== undefined));
    const found = places.map((worker) => worker ?? others.shift());
    for (const worker of found) if (worker !== undefined) this.#idle.splice(this.#idle.indexOf(worker), 1);
    const taken = found.map((worker) => worker ?? this.#spawn(numerics));
    try {
      await Promise.all(taken.map((worker) => worker.ready));
    } catch (error) {
      for (const worker of taken) this.release(worker);
      throw error;
    }
    this.#fill();
    return taken;
  }

  /** The worker that a process is, and of which run, if it is one. */
  heldReplicas(name: string): HeldReplicas | undefined {
    return this.#workers.get(name)?.heldReplicas;
  }

  /** Takes back a worker that left its run. Surplus workers end. */
  release(worker: WorkerProcess): void {
    if (!worker.isAlive || this.#closing) return;
    this.#idle.push(worker);
    this.#trim();
  }

  /** A run has ended: its replicas are not needed any more. */
  dropReplicas(run: string): void {
    for (const worker of this.#workers.values()) if (worker.heldReplicas?.run === run) worker.heldReplicas = undefined;
    this.#trim();
  }

  /** Socket paths for the workers of a new worker group. Those of a pool that was killed may still be in use. */
  peerPaths(count: number): string[] {
    const group = this.#groups++;
    return Array.from({ length: count }, (_, rank) => join(this.directory, `g${this.#host.pid}-${group}.${rank}`));
  }

  /** Ends all workers. None is left when this resolves. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all([...this.#workers.values()].map((worker) => worker.shutdown()));
    this.#listener?.close();
    if (this.#options.failover !== undefined) this.#host.registry.remove(this.#options.failover.registry);
    if (this.#ownsDirectory) this.#host.removeDirectory(this.directory);
  }

  /** Idle workers without replicas. A worker with replicas is reserved for its run until the run has ended. */
  get #free(): WorkerProcess[] {
    return this.#idle.filter(({ heldReplicas }) => heldReplicas === undefined);
  }

  /**
   * The wanted number of them. Spares are ready before a worker group is formed, because a worker that loads later would take processor time from
   * the group.
   */
  get #wanted(): number {
    const { spares = 0, warm = defaultWorkers() } = this.#options;
    const busy = this.#workers.size - this.#ending.size - this.#free.length;
    return spares + Math.max(0, warm - busy);
  }

  get #socket(): string {
    return join(this.directory, "pool");
  }

  async #listen(): Promise<void> {
    this.#listener = await listen(
      this.#socket,
      (channel) => {
        const hello = helloOf(channel);
        const worker = hello === undefined ? undefined : this.#workers.get(hello.name);
        if (hello === undefined || worker?.pid !== hello.pid || this.#closing) void channel.close();
        else if (hello.pulse === true) worker.watch(channel, hello);
        else worker.attach(channel, hello);
      },
      { limits: controlLimits, pool: bufferPool(), hello: asJson<PoolHello>({ name: "pool", build: buildId() }), runtime: this.runtime },
    );
  }

  /**
   * Takes over the workers of a killed pool, which connect by themselves. A worker that gives no heartbeat, or does not leave its worker group, is
   * evicted. A worker of another protocol is killed.
   */
  #takeOver({ registry, isActive }: Failover): void {
    this.#host.removeSockets(this.directory, /^g\d/);
    const { workers, incompatible } = this.#host.registry.read(registry);
    for (const worker of incompatible) this.#host.signal(worker, "SIGKILL");
    const settled = workers.map(async ({ name, numerics, pid, started }) => {
      // New names continue after those in use.
      this.#named = Math.max(this.#named, Number(name.slice(1)) + 1);
      const worker = this.#hold(name, numerics, this.#host.adopt({ pid, started }), true);
      this.#idle.push(worker);
      await this.#readyOrEvicted(worker, (waited_ms) => {
        if (!worker.hasConnected && waited_ms > heartbeatTimes.deadlineMs) return "no_connection";
        return waited_ms > leaveTimeout_ms ? "did_not_leave" : undefined;
      });
      if (worker.heldReplicas !== undefined && !isActive(worker.heldReplicas.run)) worker.heldReplicas = undefined;
    });
    this.#settled = Promise.all(settled).then(() => this.#trim());
  }

  #fill(): void {
    while (!this.#closing && this.#free.length < this.#wanted) this.#idle.push(this.#spawn(this.#options.numerics ?? "f32"));
  }

  /** The worker that was released last has the warmest caches, so the first one ends. */
  #trim(): void {
    for (let [first] = this.#free; !this.#closing && first !== undefined && this.#free.length > this.#wanted; [first] = this.#free) {
      this.#idle.splice(this.#idle.indexOf(first), 1);
      this.#ending.add(first);
      void first.shutdown();
    }
  }

  #spawn(numerics: NumericsName): WorkerProcess {
    const name = `w${this.#named++}`;
    const { environment, failover } = this.#options;
    const host = this.#host.spawn({
      name,
      socket: this.#socket,
      numerics,
      environment,
      lease_s: failover?.lease_s ?? 0,
      log: (line) => this.#log(name, line),
    });
    const worker = this.#hold(name, numerics, host, false);
    const limit_ms = this.#options.startTimeoutMs ?? defaultStartTimeout_ms;
    void this.#readyOrEvicted(worker, (waited_ms) => (waited_ms > limit_ms ? "not_ready" : undefined));
    return worker;
  }

  /** Evicts a worker that does not become ready. Only time in which this process was awake counts. Resolves when it is ready or has ended. */
  async #readyOrEvicted(worker: WorkerProcess, tooLate: (waited_ms: number) => EvictionReason | undefined): Promise<void> {
    let waited_ms = 0;
    const stop = this.runtime.timer.every(heartbeatTimes.everyMs, () => {
      waited_ms += heartbeatTimes.everyMs;
      const reason = tooLate(waited_ms);
      if (reason !== undefined) worker.evict({ reason, waited_ms });
    });
    await Promise.race([worker.ready.catch(() => undefined), worker.exited]);
    stop();
  }

  #log(worker: string, line: string): void {
    this.#options.log?.(worker, line);
  }

  /** @param wasReady whether the worker was ready before: a worker that never was ready is not replaced */
  #hold(name: string, numerics: NumericsName, host: HostProcess, wasReady: boolean): WorkerProcess {
    const worker = new WorkerProcess({ name, numerics, host, runtime: this.runtime, log: (line) => this.#log(name, line) });
    this.#workers.set(name, worker);
    this.#registry();
    let replaces = wasReady;
    void worker.ready.then(
      () => {
        replaces = true;
      },
      () => undefined,
    );
    void worker.exited.then((exit) => {
      this.#workers.delete(name);
      this.#ending.delete(worker);
      this.#registry();
      const at = this.#idle.indexOf(worker);
      if (at >= 0) this.#idle.splice(at, 1);
      this.#options.onExit?.(exit);
      if (replaces) this.#fill();
    });
    return worker;
  }

  #registry(): void {
    const { failover } = this.#options;
    if (failover === undefined) return;
    try {
      this.#host.registry.write(
        failover.registry,
        [...this.#workers.values()].map(({ registered }) => registered),
      );
    } catch (error) {
      if (!(error instanceof Error) || (error as NodeJS.ErrnoException).syscall === undefined) throw error;
      failover.onError(error);
    }
  }
}

/** The hello of a process; undefined if it is not a worker of a compatible build. */
function helloOf(channel: Channel): WorkerHello | undefined {
  try {
    return decodeWorkerHello(channel.peerHello);
  } catch (error) {
    if (!(error instanceof LapidaryError)) throw error;
    return undefined;
  }
}
