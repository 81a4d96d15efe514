import type { Dtype, Graph } from "@lapidary/ir";
import {
  type RunReport,
  type ArrayData,
  type CallName,
  type ReplicaName,
  type Epoch,
  type ExecutorName,
  type FeedMessage,
  type FeedPort,
  type GroupLayout,
  type Handle,
  type MessageKind,
  type MessageOf,
  type NumericsName,
  type ProgramHash,
  type ProgramTensors,
  type StagedTensor,
  type StepIndex,
  type TensorSpec,
  type UpdateCount,
  type WorkerRank,
  type WorkerStats,
  arrayLayout,
  arrayOf,
  blockDimsOf,
  blockOf,
  bytesOfNumbers,
  firstReplicas,
  numbersOf,
  ranksOf,
  takeBlock,
  wholeFromBlocks,
  workerRank,
} from "@lapidary/protocol";
import { assert, LapidaryError, ensure } from "@lapidary/std";
import { type Mesh, type WorkerGrid, makeWorkerGrid, printMesh } from "@lapidary/topology";
import { type ProgramText, programText } from "./program-text.js";
import { type Binding, type BoundProgram, bindProgram } from "./binding.js";
import { findReplicas } from "./find-replicas.js";
import { workerGroupClosed, workerLost } from "./worker-group-errors.js";
import { StallWatch } from "./stall-watch.js";
import type { WorkerPool } from "./worker-pool.js";
import type { Answered, WorkerProcess } from "./worker-process.js";

const defaultStallMs = 300_000;

/** The exit of a process is reported shortly after its channels broke: at most so long after. */
const exitReport_ms = 2000;

export interface WorkerGroupOptions {
  readonly runId: string;
  /** Fence number of this attempt: larger than that of every earlier attempt of the run. */
  readonly epoch: Epoch;
  readonly mesh: Mesh;
  /** Maximum number of worker processes. The mesh may not divide over that many. The chipwise executor has one. */
  readonly workers: number;
  readonly numerics?: NumericsName;
  readonly executor?: ExecutorName;
  /** If no worker answers for this time and for 20 of the longest runs, the workers that hang are evicted. Default 5 minutes. */
  readonly stallAfterMs?: number;
}

export interface RunRequest {
  readonly step: StepIndex;
  /** Runs the program so many times, with one message. Each run consumes what the run before it has created. Default 1. */
  readonly times?: number;
  /** Whether the run is an update of the state. */
  readonly update?: boolean;
  /** Whether the report lists every call. */
  readonly trace?: boolean;
}

/** Replicas that were stored in the memory of the workers. */
export interface ReplicationReport {
  readonly step: UpdateCount;
  /** Sum over all workers. */
  readonly bytes: number;
  /** Maximum processor time of a worker. */
  readonly ms: number;
}

/** Blocks that were written to a staging buffer. */
export interface StagingReport {
  /** Sum over all workers. */
  readonly bytes: number;
  /** Maximum over the workers. */
  readonly ms: number;
  /** Checksums (crc32) of the whole arrays, in the order of the staging buffer; undefined if the workers compute no checksum. */
  readonly sums: readonly (number | undefined)[];
}

export type FeedRequest = Omit<FeedMessage, "kind" | "epoch" | "into">;

interface LoadedProgram {
  readonly tensors: ProgramTensors;
  /** Settles when the workers have loaded it. */
  readonly loaded: Promise<unknown>;
  /** The binding of its last run, which the workers remember. */
  last?: BoundProgram;
}

/**
 * The workers of one attempt of a run. Programs are loaded once, arrays stay on the workers, and `run` computes arrays from arrays.
 * Requests are sent immediately and in order, and every worker executes them in that order, so that many steps may be in flight. A failure is final:
 * after a failed run or a lost worker every request rejects with that first error.
 */
export class WorkerGroup {
  readonly mesh: Mesh;
  readonly grid: WorkerGrid;
  readonly epoch: Epoch;
  readonly runId: string;
  /** Settles, and never rejects, when the worker group has failed. */
  readonly failed: Promise<LapidaryError>;
  readonly #pool: WorkerPool;
  readonly #workers: readonly WorkerProcess[];
  readonly #programs = new Map<ProgramHash, LoadedProgram>();
  readonly #texts = new WeakMap<Graph, ProgramText>();
  /** The arrays of the workers after all requests so far. */
  readonly #handles = new Map<Handle, TensorSpec>();
  /** Outputs of the last run, while `#handles` has them unchanged: a train step need not add its state again. */
  #lastOutputs: BoundProgram["made"] | undefined;
  readonly #stall: StallWatch;
  /** Rejects a request in flight. */
  readonly #inFlight = new Set<(error: LapidaryError) => void>();
  #failure: LapidaryError | undefined;
  #resolveFailed: (error: LapidaryError) => void = () => undefined;
  #closed = false;

  private constructor(pool: WorkerPool, workers: readonly WorkerProcess[], grid: WorkerGrid, options: WorkerGroupOptions) {
    this.#pool = pool;
    this.#workers = workers;
    this.grid = grid;
    this.mesh = options.mesh;
    this.epoch = options.epoch;
    this.runId = options.runId;
    this.failed = new Promise((resolve) => {
      this.#resolveFailed = resolve;
    });
    this.#stall = new StallWatch(workers, { ...pool.runtime, afterMs: options.stallAfterMs ?? defaultStallMs });
    ranksOf(workers.length).forEach((rank) => {
      const worker = ensure(workers[rank], "worker");
      void worker.exited.then((exit) => {
        if (!this.#closed) this.#fail(workerLost(exit, rank));
      });
    });
  }

  /**
   * Takes workers from the pool and joins them.
   *
   * @throws LAP_WORKER_START, LAP_WORKER_STALE, LAP_FABRIC_PEER_LOST
   */
  static async start(pool: WorkerPool, options: WorkerGroupOptions): Promise<WorkerGroup> {
    const { mesh, epoch, runId: run } = options;
    const executor = options.executor ?? "stacked";
    const numerics = options.numerics ?? "f32";
    const grid = makeWorkerGrid(mesh, executor === "chipwise" ? 1 : options.workers);
    const workers = await pool.acquire(grid.workers, numerics, run);
    const group = new WorkerGroup(pool, workers, grid, options);
    const peers = pool.peerPaths(grid.workers);
    workers.forEach((process, worker) => (process.heldReplicas = { run, worker: workerRank(worker) }));
    try {
      await group.#requestAll((worker) => ({
        kind: "configure",
        epoch,
        run,
        worker,
        workers: grid.workers,
        mesh: printMesh(mesh),
        executor,
        numerics,
        peers,
      }));
    } catch (error) {
      await group.close({ keepReplicas: true });
      throw error;
    }
    return group;
  }

  /** Number of worker processes. A program may need fewer than requested. */
  get size(): number {
    return this.#workers.length;
  }

  get pids(): number[] {
    return this.#workers.map((worker) => worker.pid);
  }

  /** The names of the workers in the pool, which are also in log lines. */
  get names(): string[] {
    return this.#workers.map((worker) => worker.name);
  }

  /**
   * Loads a per-chip program once. The hash is that of `programText`.
   *
   * @param program the result of `compile`, or any per-chip program with a sharding on every value
   */
  async load(program: { readonly chip: Graph }): Promise<ProgramHash> {
    const text = this.#texts.get(program.chip) ?? programText(program.chip);
    this.#texts.set(program.chip, text);
    return this.loadText(text);
  }

  /** Loads the text of a program. A run of it need not wait for this. */
  async loadText({ hash, text, parameters, outputs }: ProgramText): Promise<ProgramHash> {
    let program = this.#programs.get(hash);
    if (program === undefined) {
      const payload = [new TextEncoder().encode(text)];
      const loaded = this.#requestAll(
        () => ({ kind: "load", epoch: this.epoch, program: hash }),
        () => payload,
      );
      program = { tensors: { parameters, outputs }, loaded };
      this.#programs.set(hash, program);
    }
    await program.loaded;
    return hash;
  }

  parameters(program: ProgramHash): readonly TensorSpec[] {
    return this.#program(program).tensors.parameters;
  }

  outputs(program: ProgramHash): readonly TensorSpec[] {
    return this.#program(program).tensors.outputs;
  }

  /** A parameter by name. */
  parameter(program: ProgramHash, name: string): TensorSpec {
    return ensure(
      this.parameters(program).find(({ id }) => id === name),
      `parameter ${name}`,
    );
  }

  /** Gives every worker its block of a whole array. The array must not change until this resolves. */
  async put(tensor: TensorSpec, array: ArrayData): Promise<void> {
    this.#addHandle(tensor);
    const layout = arrayLayout(this.#layout, tensor);
    await this.#requestAll(
      () => ({ kind: "put", epoch: this.epoch, tensor }),
      (worker) => [bytesOfNumbers(takeBlock(array, blockOf(layout, worker)).data)],
    );
  }

  /** Lets every worker read its block of one step's batch. */
  async feed(request: FeedRequest, into: readonly FeedPort[]): Promise<void> {
    for (const { tensor } of into) this.#addHandle(tensor);
    await this.#requestAll(() => ({ kind: "feed", epoch: this.epoch, ...request, into }));
  }

  /** Binds the inputs and outputs of a loaded program. */
  bind(hash: ProgramHash, binding: Binding): BoundProgram {
    return bindProgram(hash, this.#program(hash).tensors, binding);
  }

  /**
   * Runs a program. Resolves when the outputs exist. A caller that does not wait dispatches ahead. A run costs one small message per worker:
   * the handles are sent only if they differ from those of the last run of the program.
   *
   * @throws LAP_WORKER_KERNEL, LAP_WORKER_LOST, …: afterwards the worker group has failed
   */
  async run(bound: BoundProgram, { step, times = 1, update = false, trace = false }: RunRequest): Promise<RunReport> {
    const { hash, values, donated, made, scalars } = bound;
    const program = this.#program(hash);
    assert(times === 1 || (times > 1 && donated.length === 0 && !update), "a repeated run creates all that it consumes", times, donated);
    for (const id of donated) this.#removeHandle(id);
    if (this.#lastOutputs !== made) {
      for (const tensor of made.values()) this.#addHandle(tensor);
      this.#lastOutputs = made;
    }
    const message: MessageOf<"run"> = {
      kind: "run",
      epoch: this.epoch,
      step,
      program: hash,
      ...(program.last === bound ? {} : { values }),
      ...(times === 1 ? {} : { repeats: times - 1 }),
      ...(update ? { update } : {}),
      ...(trace ? { trace } : {}),
    };
    program.last = bound;
    try {
      const answers = await this.#requestAll(() => message);
      for (const { reply } of answers) this.#stall.ran(reply.total_ms);
      // Every worker has the scalars.
      const { payload } = ensure(answers[0], "answer");
      const number = (dtype: Dtype, i: number): number => ensure(numbersOf(dtype, payload.subarray(4 * i, 4 * i + 4))[0], "number");
      return {
        step,
        workers: answers.map(({ reply }) => reply),
        scalars: new Map(scalars.map(({ name, dtype }, i) => [name, number(dtype, i)])),
      };
    } catch (error) {
      // The outputs do not exist, and the workers have left the group.
      this.#fail(error as LapidaryError);
      throw this.#failure ?? error;
    }
  }

  /** The calls of a run of a program on each worker, in order. */
  async describe(program: ProgramHash): Promise<readonly CallName[]> {
    const [answer] = await this.#request([workerRank(0)], () => ({ kind: "describe", epoch: this.epoch, program }));
    return ensure(answer, "answer").reply.calls;
  }

  /** The whole array, from the first replica of each of its blocks. */
  async fetch(id: Handle): Promise<ArrayData> {
    const tensor = ensure(this.#handles.get(id), `value ${id}`);
    const layout = arrayLayout(this.#layout, tensor);
    const from = firstReplicas(layout);
    const answers = await this.#request(from, () => ({ kind: "fetch", epoch: this.epoch, value: id }));
    const blocks = new Map(from.map((worker, i) => [worker, ensure(answers[i], "block").payload]));
    return wholeFromBlocks(tensor.dtype, layout, (worker) =>
      arrayOf(tensor.dtype, blockDimsOf(layout), numbersOf(tensor.dtype, ensure(blocks.get(worker), "block"))),
    );
  }

  async drop(ids: readonly Handle[]): Promise<void> {
    for (const id of ids) this.#removeHandle(id);
    await this.#requestAll(() => ({ kind: "drop", epoch: this.epoch, values: ids }));
  }

  /**
   * Replicates values, as they are after update `step`: each block on its worker and on the next one.
   *
   * @param committed the last committed update: older replicas are not needed
   */
  async replicate(step: UpdateCount, values: readonly Handle[], committed: UpdateCount): Promise<ReplicationReport> {
    const answers = await this.#requestAll(() => ({ kind: "copy", epoch: this.epoch, step, values, committed }));
    return {
      step,
      bytes: answers.reduce((sum, { reply }) => sum + reply.bytes, 0),
      ms: Math.max(...answers.map(({ reply }) => reply.ms)),
    };
  }

  /** Lets the workers open a staging buffer of this process. @returns whether all of them can write their blocks there */
  async openStagingBuffer(path: string, bytes: number, tensors: readonly StagedTensor[]): Promise<boolean> {
    const answers = await this.#requestAll(() => ({ kind: "image", epoch: this.epoch, path, bytes, tensors }));
    return answers.every(({ reply }) => reply.opened);
  }

  /** Writes whole values, as they are after all requests so far, to a staging buffer. Resolves when they are written. */
  async stage(path: string): Promise<StagingReport> {
    const answers = await this.#requestAll(() => ({ kind: "snapshot", epoch: this.epoch, path }));
    const sums = answers[0]?.reply.shares.map((_, i) => sumOf(answers.map(({ reply }) => reply.shares[i]))) ?? [];
    return { bytes: answers.reduce((sum, { reply }) => sum + reply.bytes, 0), ms: Math.max(...answers.map(({ reply }) => reply.ms)), sums };
  }

  /**
   * Restores the values from replicas of earlier worker groups of this run, if these workers have a replica of every block.
   *
   * @param latest the newest update that may be restored
   * @param values the values that were replicated
   * @returns the update of the restored values: the newest possible; undefined if there is none
   */
  async restoreReplicas(latest: UpdateCount, values: readonly TensorSpec[]): Promise<UpdateCount | undefined> {
    const group = { workers: this.size, mesh: printMesh(this.mesh) };
    const answers = await this.#requestAll(() => ({ kind: "holdings", epoch: this.epoch, latest }));
    const found = findReplicas(
      group,
      latest,
      answers.map(({ reply }) => reply.copies),
    );
    if (found === undefined) return undefined;
    const { step } = found;
    for (const worker of ranksOf(this.size)) {
      const holders = ensure(found.holders.get(worker), "holders");
      if (holders.includes(worker)) continue;
      const copy: ReplicaName = { step, worker, ...group };
      const [lent] = await this.#request([ensure(holders[0], "holder")], () => ({ kind: "lend", epoch: this.epoch, copy }));
      const { reply, payload } = ensure(lent, "replica");
      await this.#request(
        [worker],
        () => ({ kind: "adopt", epoch: this.epoch, copy, entries: reply.entries }),
        () => [payload],
      );
    }
    await this.#requestAll(() => ({ kind: "restore", epoch: this.epoch, step }));
    for (const tensor of values) this.#addHandle(tensor);
    return step;
  }

  /** By worker. */
  async stats(): Promise<WorkerStats[]> {
    return (await this.#requestAll(() => ({ kind: "stats", epoch: this.epoch }))).map(({ reply }) => reply);
  }

  /**
   * Leaves the run, whatever is in flight, and returns the workers to the pool. A worker that does not leave in time is evicted.
   *
   * @param keepReplicas the next worker group of the run may restore the replicas of these workers
   */
  async close({
    timeoutMs = 5000,
    keepReplicas = false,
  }: {
    readonly timeoutMs?: number;
    readonly keepReplicas?: boolean;
  } = {}): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stall.stop();
    this.#failure ??= workerGroupClosed();
    await Promise.all(
      this.#workers.map(async (worker) => {
        const stop = this.#pool.runtime.timer.after(timeoutMs, () => worker.evict({ reason: "did_not_leave", waited_ms: timeoutMs }));
        try {
          await worker.request({ kind: "reset", epoch: this.epoch, keepCopies: keepReplicas });
          if (!keepReplicas) worker.heldReplicas = undefined;
        } catch (error) {
          // The worker is dead or was never configured, so it need not leave.
          if (!(error instanceof LapidaryError)) throw error;
        } finally {
          stop();
        }
        this.#pool.release(worker);
      }),
    );
  }

  get #layout(): GroupLayout {
    return { mesh: this.mesh, grid: this.grid };
  }

  #addHandle(tensor: TensorSpec): void {
    if (this.#lastOutputs?.has(tensor.id) === true) this.#lastOutputs = undefined;
    this.#handles.set(tensor.id, tensor);
  }

  #removeHandle(id: Handle): void {
    if (this.#lastOutputs?.has(id) === true) this.#lastOutputs = undefined;
    this.#handles.delete(id);
  }

  #program(hash: ProgramHash): LoadedProgram {
    return ensure(this.#programs.get(hash), `program ${hash}`);
  }

  #requestAll<K extends MessageKind>(
    message: (worker: WorkerRank) => MessageOf<K>,
    payload: (worker: WorkerRank) => readonly Uint8Array[] = () => [],
  ): Promise<Answered<K>[]> {
    return this.#request(ranksOf(this.#workers.length), message, payload);
  }

  /** Sends immediately. Settles when all have answered, with the root cause if some failed, or when the worker group fails. */
  #request<K extends MessageKind>(
    ranks: readonly WorkerRank[],
    message: (worker: WorkerRank) => MessageOf<K>,
    payload: (worker: WorkerRank) => readonly Uint8Array[] = () => [],
  ): Promise<Answered<K>[]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const sent = ranks.map((rank) => ensure(this.#workers[rank], `worker ${rank}`).request(message(rank), payload(rank)));
    const answered = Promise.allSettled(sent).then(async (settled) => {
      const errors = settled.flatMap((result, i) =>
        result.status === "rejected" ? [{ error: result.reason as LapidaryError, rank: ensure(ranks[i], "rank") }] : [],
      );
      if (errors.length === 0) return settled.map((result) => (result as PromiseFulfilledResult<Answered<K>>).value);
      throw await this.#rootCause(errors.map(({ error }) => error));
    });
    // A worker that hangs answers nothing, also if another one has died meanwhile.
    const all = new Promise<Answered<K>[]>((resolve, reject) => {
      this.#inFlight.add(reject);
      void answered.then(resolve, reject).then(() => this.#inFlight.delete(reject));
    });
    // A caller that dispatches ahead may await this promise late; its error is also the error of the worker group.
    all.catch(() => undefined);
    return all;
  }

  /** A dead worker, a failed kernel or a damaged message is the cause of the errors of its peers. An error of a peer is returned only if no cause is found. */
  async #rootCause(errors: readonly LapidaryError[]): Promise<LapidaryError> {
    if (this.#failure !== undefined) return this.#failure;
    const own = errors.find(({ isSecondary }) => !isSecondary);
    if (own !== undefined) return own;
    const exits = this.#workers.map((worker) => worker.exited);
    let stop = (): void => undefined;
    const timeout = new Promise<void>((resolve) => {
      stop = this.#pool.runtime.timer.after(exitReport_ms, resolve);
    });
    await Promise.race([...exits, timeout]);
    stop();
    await Promise.resolve();
    return this.#failure ?? ensure(errors[0], "error");
  }

  #fail(error: LapidaryError): void {
    if (this.#failure !== undefined) return;
    this.#stall.stop();
    this.#failure = error;
    this.#resolveFailed(error);
    for (const reject of this.#inFlight) reject(error);
  }
}

/** The checksum of an array from the shares of all workers. */
function sumOf(shares: readonly (number | null | undefined)[]): number | undefined {
  let sum = 0;
  for (const share of shares) {
    if (typeof share !== "number") return undefined;
    sum ^= share;
  }
  return ~sum >>> 0;
}
