import { type CollectiveSummary, compile, type Program, summarizeCollectives } from "@lapidary/compiler";
import { type ArrayData, f32Array, i32Array } from "@lapidary/interop";
import type { Graph } from "@lapidary/ir";
import {
  epochOf,
  type ArrayData as WorkerArray,
  type ExecutorName,
  type NumericsName,
  type ProgramHash,
  type WorkerStats,
} from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";
import type { Mesh } from "@lapidary/topology";
import { compileOptions, type GraphRunner } from "@lapidary/training";
import { WorkerGroup, runProgramOnce, WorkerPool } from "@lapidary/cluster";

export interface SessionOptions {
  readonly mesh: Mesh;
  /** Maximum number of worker processes. The mesh may not divide over that many. */
  readonly workers: number;
  readonly numerics?: NumericsName;
  readonly executor?: ExecutorName;
  /** Logical axis → mesh axes, as in a resolved job; `defaultRules` of the training package makes them. */
  readonly rules: Readonly<Record<string, readonly string[]>>;
  readonly zero: 0 | 1 | 2 | 3;
  /** Like `bucket_bytes` of a job file. Default 0. */
  readonly bucketBytes?: number;
  /** The environment of worker processes. */
  readonly environment: NodeJS.ProcessEnv;
  /** A pool of workers for several sessions, because the start of a worker takes seconds. Without it the session starts its own workers. */
  readonly pool?: WorkerPool;
  /** Lines that workers write to stderr. */
  readonly log?: (worker: string, line: string) => void;
}

/**
 * A worker group in this process, without Redis and coordinator: compiles graphs for a mesh and runs them on whole arrays.
 * Close it, or its workers end with this process. The workers of a pool stay for other sessions.
 */
export class Session implements GraphRunner {
  static #opened = 0;
  readonly #options: SessionOptions;
  readonly #programs = new Map<string, Program>();

  private constructor(
    options: SessionOptions,
    private readonly pool: WorkerPool,
    /** For work beyond whole inputs and outputs. */
    readonly group: WorkerGroup,
  ) {
    this.#options = options;
  }

  static async open(options: SessionOptions): Promise<Session> {
    const { mesh, workers, numerics, executor } = options;
    const pool = options.pool ?? (await openPool({ ...options, workers: 0 }));
    try {
      const group = await WorkerGroup.start(pool, {
        // Each session is a run of its own: workers reject requests of an earlier session.
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
   * The program of a graph, compiled at the first use of its name.
   *
   * @throws LapidaryError if the graph does not fit the mesh
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

  /** Loads the program of a graph into the workers. */
  load(name: string, graph: Graph | (() => Graph)): Promise<ProgramHash> {
    const known = this.#programs.get(name);
    return this.group.load(known ?? this.compile(name, typeof graph === "function" ? graph() : graph));
  }

  async run(name: string, graph: Graph, inputs: ReadonlyMap<string, ArrayData>): Promise<ReadonlyMap<string, ArrayData>> {
    const outputs = await runProgramOnce(this.group, this.compile(name, graph), inputs);
    return new Map([...outputs].map(([output, array]) => [output, fileArray(array)]));
  }

  /** Collectives of a program that was run or compiled, most bytes first. */
  collectives(name: string): CollectiveSummary[] {
    return summarizeCollectives(ensure(this.#programs.get(name), `program ${name}`).chip);
  }

  stats(): Promise<WorkerStats[]> {
    return this.group.stats();
  }

  /** When this resolves, no worker process is left except those of a given pool. */
  async close(): Promise<void> {
    try {
      await this.group.close();
    } finally {
      if (this.#options.pool === undefined) await this.pool.close();
    }
  }
}

/**
 * A pool of workers for sessions, one session after the other. It starts more workers if a session needs them. Close it after the last session.
 */
export const openPool = ({ environment, log, workers }: Pick<SessionOptions, "environment" | "log" | "workers">): Promise<WorkerPool> =>
  WorkerPool.start({ environment, warm: workers, ...(log === undefined ? {} : { log }) });

export const openSession = (options: SessionOptions): Promise<Session> => Session.open(options);

/** Arrays of workers in the form of files. */
function fileArray({ dtype, dims, data }: WorkerArray): ArrayData {
  assert(dtype === "f32" || dtype === "i32", "an array is f32 or i32", dtype);
  return dtype === "f32" ? f32Array(dims, data) : i32Array(dims, data);
}
