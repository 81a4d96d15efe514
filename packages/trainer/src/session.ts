import { type CollectiveSummary, compile, type Program, summarizeCollectives } from "@lapidary/compiler";
import { type ArrayData, f32Array, i32Array } from "@lapidary/interop";
import type { Graph } from "@lapidary/ir";
import { epochOf, type ArrayData as WorkerArray, type ExecutorName, type NumericsName, type WorkerStats } from "@lapidary/protocol";
import { assert, must } from "@lapidary/std";
import type { Mesh } from "@lapidary/topology";
import { compileOptions, type GraphRunner } from "@lapidary/training";
import { WorkerGroup, runProgramOnce, WorkerPool } from "@lapidary/cluster";

export interface SessionOptions {
  readonly mesh: Mesh;
  /** How many worker processes at most; the mesh may not be divisible by so many. */
  readonly workers: number;
  readonly numerics?: NumericsName;
  readonly executor?: ExecutorName;
  /** Logical axis → mesh axes, as a resolved job has them; `defaultRules` of the training package makes them. */
  readonly rules: Readonly<Record<string, readonly string[]>>;
  readonly zero: 0 | 1 | 2 | 3;
  /** As a job file's `bucket_bytes`; 0 by default. */
  readonly bucketBytes?: number;
  /** What worker processes inherit. */
  readonly environment: NodeJS.ProcessEnv;
  /** Workers to take, and to leave to the next session: to start one costs seconds. Without it the session has workers of its own. */
  readonly pool?: WorkerPool;
  /** Lines that workers write to stderr. */
  readonly log?: (worker: string, line: string) => void;
}

/**
 * A worker group of one's own in this very process, without Redis and coordinator: compiles graphs for a mesh and runs them on whole arrays.
 * Close it, or its workers end with this process; those of a pool that was given stay for others.
 */
export class Session implements GraphRunner {
  static #opened = 0;
  readonly #options: SessionOptions;
  readonly #programs = new Map<string, Program>();

  private constructor(
    options: SessionOptions,
    private readonly pool: WorkerPool,
    /** For what goes beyond whole arrays in and out. */
    readonly group: WorkerGroup,
  ) {
    this.#options = options;
  }

  static async open(options: SessionOptions): Promise<Session> {
    const { mesh, workers, numerics, executor } = options;
    const pool = options.pool ?? (await openPool({ ...options, workers: 0 }));
    try {
      const group = await WorkerGroup.start(pool, {
        // A run each: workers that were in another session refuse what is left of it.
        runId: `session-${Session.#opened++}`,
        epoch: epochOf(1),
        mesh,
        workers,
        ...(numerics === undefined ? {} : { numerics }),
        ...(executor === undefined ? {} : { executor }),
      });
      return new Session(options, pool, group);
    } catch (error) {
      if (options.pool === undefined) await pool.close();
      throw error;
    }
  }

  /** Worker processes. */
  get workers(): number {
    return this.group.size;
  }

  /**
   * The program of a graph, compiled when its name is first heard.
   *
   * @throws LapidaryError whatever does not fit the mesh
   */
  compile(name: string, graph: Graph): Program {
    const { mesh, rules, zero, bucketBytes = 0 } = this.#options;
    const known = this.#programs.get(name);
    if (known !== undefined) return known;
    const program = compile(
      graph,
      compileOptions({ mesh: mesh.axes, rules: rules as Record<string, string[]>, zero, bucket_bytes: bucketBytes }, graph),
    );
    this.#programs.set(name, program);
    return program;
  }

  async run(name: string, graph: Graph, inputs: ReadonlyMap<string, ArrayData>): Promise<ReadonlyMap<string, ArrayData>> {
    const outputs = await runProgramOnce(this.group, this.compile(name, graph), inputs);
    return new Map([...outputs].map(([output, array]) => [output, fileArray(array)]));
  }

  /** Of a program that was run or compiled, most bytes first. */
  collectives(name: string): CollectiveSummary[] {
    return summarizeCollectives(must(this.#programs.get(name), `program ${name}`).chip);
  }

  stats(): Promise<WorkerStats[]> {
    return this.group.stats();
  }

  /** No worker process is left when this resolves, but those of a pool that was given. */
  async close(): Promise<void> {
    try {
      await this.group.close();
    } finally {
      if (this.#options.pool === undefined) await this.pool.close();
    }
  }
}

/** So many workers for sessions, one session after the other; more are started where one wants them. Close it after the last one. */
export const openPool = ({ environment, log, workers }: Pick<SessionOptions, "environment" | "log" | "workers">): Promise<WorkerPool> =>
  WorkerPool.start({ environment, warm: workers, ...(log === undefined ? {} : { log }) });

export const openSession = (options: SessionOptions): Promise<Session> => Session.open(options);

/** What workers give, as files hold it. */
function fileArray({ dtype, dims, data }: WorkerArray): ArrayData {
  assert(dtype === "f32" || dtype === "i32", "an array is f32 or i32", dtype);
  return dtype === "f32" ? f32Array(dims, data) : i32Array(dims, data);
}
