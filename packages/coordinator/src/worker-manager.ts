import { failpointActions, failpointNames, LapidaryError } from "@lapidary/std";
import type { NumericsName } from "@lapidary/protocol";
import { z } from "zod";
import type { JobDetail, Status } from "@lapidary/api";
import {
  type Failover,
  systemHost,
  type WorkerExit,
  WorkerGroup,
  type WorkerGroupOptions,
  type WorkerHost,
  WorkerPool,
} from "@lapidary/cluster";
import type { Log } from "./log.js";
import type { Run } from "@lapidary/telemetry";

export interface WorkerManagerOptions {
  readonly workers: number;
  /** Idle processes that replace a worker that ends. */
  readonly spares: number;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Log;
  /**
   * Directory of the sockets. It is the same for every coordinator of a home, so that its workers find the next one. It is removed at the end.
   */
  readonly directory: string;
  readonly failover: Failover;
  /** As in `WorkerPoolOptions`. */
  readonly startTimeoutMs?: number;
  /** Default: this machine. */
  readonly host?: WorkerHost;
}

/** The part of a run that the manager uses: events and log lines of its workers go there. */
export type ManagedRun = Pick<Run, "id" | "log" | "record">;

/** The worker processes of this coordinator, and the run of each. */
export class WorkerManager {
  readonly #log: Log;
  readonly #groups = new Map<string, { readonly run: ManagedRun; readonly group: WorkerGroup }>();
  /** Runs that have workers, or that are starting them. */
  readonly #runs = new Map<string, ManagedRun>();
  readonly #directory: string;
  readonly #host: WorkerHost;
  #pool: WorkerPool | undefined;

  private constructor({ log, directory, host = systemHost }: WorkerManagerOptions) {
    this.#log = log;
    this.#directory = directory;
    this.#host = host;
  }

  static async start(options: WorkerManagerOptions): Promise<WorkerManager> {
    const { workers, spares, environment, directory, failover, startTimeoutMs } = options;
    const workerManager = new WorkerManager(options);
    workerManager.#pool = await WorkerPool.start({
      directory,
      environment,
      warm: workers,
      spares,
      failover,
      host: workerManager.#host,
      ...(startTimeoutMs === undefined ? {} : { startTimeoutMs }),
      log: (worker, line) => workerManager.#onLine(worker, line),
      onExit: (exit) => workerManager.#exited(exit),
    });
    return workerManager;
  }

  /** Takes workers for a run; closing the worker group gives them back. */
  async startGroup(run: ManagedRun, options: Omit<WorkerGroupOptions, "runId">): Promise<WorkerGroup> {
    if (this.#pool === undefined) throw new Error("invariant broken: the pool is there");
    // The workers write log lines while they join.
    this.#runs.set(run.id, run);
    const group = await WorkerGroup.start(this.#pool, { ...options, runId: run.id });
    this.#groups.set(run.id, { run, group });
    return group;
  }

  /** Whether `count` more workers can be started. They wait in the pool afterwards. */
  async hasWorkers(count: number, numerics: NumericsName): Promise<boolean> {
    try {
      for (const worker of (await this.#pool?.acquire(count, numerics)) ?? []) this.#pool?.release(worker);
      return true;
    } catch (error) {
      if (error instanceof LapidaryError) return false;
      throw error;
    }
  }

  /** The run has ended, and its worker group is closed. */
  release(run: string): void {
    this.#groups.delete(run);
    this.#runs.delete(run);
    this.#pool?.dropReplicas(run);
  }

  /** The workers of a run that has started them. */
  of(run: string): Pick<JobDetail, "workers"> {
    const held = this.#groups.get(run);
    return held === undefined ? {} : { workers: held.group.pids.map((pid, worker) => ({ worker, pid })) };
  }

  status(): Status["workers"] {
    const jobs = new Map([...this.#groups].flatMap(([job, { group }]) => group.pids.map((pid) => [pid, job] as const)));
    return (this.#pool?.pids ?? []).map((pid, worker) => {
      const job = jobs.get(pid);
      return { worker, pid, ...(job === undefined ? {} : { job }) };
    });
  }

  /** No worker process is left when this resolves. */
  async close(): Promise<void> {
    await this.#pool?.close();
    this.#host.removeDirectory(this.#directory);
  }

  /** A log line of a worker goes to its run. A failpoint that the line reports is an event of the run. */
  #onLine(name: string, line: string): void {
    const owner = this.#ownerOf(name);
    if (owner === undefined) return this.#log.info(readable(line), { worker: name });
    const fault = faultLineSchema.safeParse(parsed(line)).data?.fault;
    if (fault === undefined) return owner.run.log(`worker ${owner.worker}`, readable(line));
    owner.run.record({ type: "fault_injected", ...fault, target: owner.worker });
  }

  #exited({ name, pid, code, signal, eviction, isExpected, heldReplicas }: WorkerExit): void {
    this.#log.info("a worker ended", { worker: name, pid, code, signal });
    const run = heldReplicas === undefined ? undefined : this.#runs.get(heldReplicas.run);
    if (run === undefined || heldReplicas === undefined || isExpected) return;
    const { worker } = heldReplicas;
    if (eviction !== undefined) return run.record({ type: "worker_evicted", worker, pid, ...eviction });
    run.record({
      type: "worker_lost",
      worker,
      pid,
      ...(code === null ? {} : { exit_code: code }),
      ...(signal === null ? {} : { signal }),
    });
  }

  #ownerOf(name: string): { readonly run: ManagedRun; readonly worker: number } | undefined {
    for (const { run, group } of this.#groups.values()) {
      const worker = group.names.indexOf(name);
      if (worker >= 0) return { run, worker };
    }
    const heldReplicas = this.#pool?.heldReplicas(name);
    const run = heldReplicas === undefined ? undefined : this.#runs.get(heldReplicas.run);
    return run === undefined || heldReplicas === undefined ? undefined : { run, worker: heldReplicas.worker };
  }
}

/** A failpoint that fired in a worker, as the worker logs it. */
const faultLineSchema = z.object({
  fault: z.object({ site: z.enum(failpointNames), step: z.number().int(), action: z.enum(failpointActions) }),
});

/** Workers write JSON, `{ time, level, worker, message, … }`; a crash writes text. */
function readable(line: string): string {
  const logged = parsed(line);
  if (typeof logged !== "object" || logged === null || !("message" in logged)) return line;
  const { time: _, worker: __, failure: ___, level, message, ...rest } = logged as Record<string, unknown>;
  const more = Object.entries(rest).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return [`${String(level)}: ${String(message)}`, ...more].join("; ");
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // A crash writes text.
    return undefined;
  }
}
