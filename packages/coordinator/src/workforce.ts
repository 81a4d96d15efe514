import { rmSync } from "node:fs";
import { LapidaryError } from "@lapidary/std";
import type { NumericsName } from "@lapidary/protocol";
import type { JobDetail, Status } from "./api.js";
import { Gang, type GangOptions, type Succession, WorkerPool } from "./gang/index.js";
import type { Log } from "./log.js";
import type { Run } from "./runs/run.js";

export interface WorkforceOptions {
  readonly workers: number;
  /** Processes that wait to stand in for one that dies. */
  readonly spares: number;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Log;
  /** For sockets: the same for every coordinator of a home, so that its workers find the next one; removed at the end. */
  readonly directory: string;
  readonly succession: Succession;
}

/** The worker processes of this coordinator, and which run each of them works for. */
export class Workforce {
  readonly #log: Log;
  readonly #gangs = new Map<string, { readonly run: Run; readonly gang: Gang }>();
  readonly #directory: string;
  #pool: WorkerPool | undefined;

  private constructor(log: Log, directory: string) {
    this.#log = log;
    this.#directory = directory;
  }

  static async start({ workers, spares, environment, log, directory, succession }: WorkforceOptions): Promise<Workforce> {
    const workforce = new Workforce(log, directory);
    workforce.#pool = await WorkerPool.start({
      directory,
      environment,
      warm: workers,
      spares,
      succession,
      log: (worker, line) => workforce.#hear(worker, line),
      onExit: ({ name, pid, code, signal }) => log.info("a worker ended", { worker: name, pid, code, signal }),
    });
    return workforce;
  }

  /** Takes workers for a run; closing the gang gives them back. */
  async startGang(run: Run, options: Omit<GangOptions, "runId">): Promise<Gang> {
    if (this.#pool === undefined) throw new Error("invariant broken: the pool is there");
    const gang = await Gang.start(this.#pool, { ...options, runId: run.id });
    this.#gangs.set(run.id, { run, gang });
    return gang;
  }

  /** Whether so many workers more can be started; they wait in the pool then. */
  async hasWorkers(count: number, numerics: NumericsName): Promise<boolean> {
    try {
      for (const worker of (await this.#pool?.take(count, numerics)) ?? []) this.#pool?.give(worker);
      return true;
    } catch (error) {
      if (error instanceof LapidaryError) return false;
      throw error;
    }
  }

  /** The run is over, and its gang closed. */
  forget(run: string): void {
    this.#gangs.delete(run);
    this.#pool?.forget(run);
  }

  /** The workers of a run, while it has some. */
  of(run: string): Pick<JobDetail, "workers"> {
    const held = this.#gangs.get(run);
    return held === undefined ? {} : { workers: held.gang.pids.map((pid, worker) => ({ worker, pid })) };
  }

  status(): Status["workers"] {
    const jobs = new Map([...this.#gangs].flatMap(([job, { gang }]) => gang.pids.map((pid) => [pid, job] as const)));
    return (this.#pool?.pids ?? []).map((pid, worker) => {
      const job = jobs.get(pid);
      return { worker, pid, ...(job === undefined ? {} : { job }) };
    });
  }

  /** No worker process is left when this resolves. */
  async close(): Promise<void> {
    await this.#pool?.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** A worker's line goes to the run it works for. */
  #hear(name: string, line: string): void {
    for (const { run, gang } of this.#gangs.values()) {
      const rank = gang.names.indexOf(name);
      if (rank >= 0) return run.log(`worker ${rank}`, readable(line));
    }
    this.#log.info(readable(line), { worker: name });
  }
}

/** Workers write JSON, `{ time, level, worker, message, … }`; what a crash leaves is text. */
function readable(line: string): string {
  let said: unknown;
  try {
    said = JSON.parse(line);
  } catch {
    // No JSON: told as it is.
    return line;
  }
  if (typeof said !== "object" || said === null || !("message" in said)) return line;
  const { time: _, worker: __, level, message, ...rest } = said as Record<string, unknown>;
  const more = Object.entries(rest).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return [`${String(level)}: ${String(message)}`, ...more].join("; ");
}
