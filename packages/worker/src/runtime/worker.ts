import { createHash } from "node:crypto";
import { type Prepared, StackedProgram } from "@lapidary/executor";
import { type FrameFault, type Peers, type Runtime, connectPeers, systemRuntime } from "@lapidary/fabric";
import { type Graph, parseGraph, verifyGraph } from "@lapidary/ir";
import {
  type StoreReplicaMessage,
  type ConfigureMessage,
  type ReplicateMessage,
  type DropMessage,
  type Epoch,
  type FetchMessage,
  type GroupLayout,
  type HeldReplicas,
  type OpenStagingMessage,
  type MessageKind,
  type MessageOf,
  type PutMessage,
  type RunMessage,
  type RunReply,
  type RunValues,
  type StageMessage,
  type TensorSpec,
  type WorkerMessage,
  type WorkerRank,
  type WorkerReplies,
  type WorkerStats,
  bytesOfNumbers,
  updatesAfter,
} from "@lapidary/protocol";
import { type Clock, type Failpoints, type LapidaryError, assert, ensure, noFailpoints, assertNever } from "@lapidary/std";
import { makeWorkerGrid, parseMesh } from "@lapidary/topology";
import { ReplicaStore } from "./replica-store.js";
import { SharedBufferPool } from "./shared-buffer-pool.js";
import { asLapidaryError, busyError, idleError, staleError, unknownProgramError } from "./errors.js";
import { StepFaults } from "./faults.js";
import { BatchReader } from "./feed.js";
import { type Membership, keepBlock, keepBytes } from "./membership.js";
import { replicate } from "./replicate.js";
import { checkValues, runProgram } from "./run-program.js";
import { StagingBuffers } from "./staging-buffers.js";
import { ValueStore, layoutText } from "./values.js";
import type { WorkerDevice } from "./worker-device.js";

export interface Answer<K extends MessageKind = MessageKind> {
  readonly reply: WorkerReplies[K];
  readonly payload?: Uint8Array;
}

/** Connects a worker to the peers of its group. It is passed in, so that tests can join groups within one process. */
export type JoinPeers = (message: ConfigureMessage, tamper?: FrameFault) => Promise<Peers>;

/** Connects to the peers at the paths of the message. */
export const joinOver =
  (runtime: Runtime): JoinPeers =>
  ({ worker, peers, epoch }, tamper) =>
    connectPeers({ self: worker, paths: peers, epoch, runtime, ...(tamper === undefined ? {} : { injectFault: tamper }) });

export interface WorkerOptions {
  readonly join?: JoinPeers;
  readonly failpoints?: Failpoints;
  /** Whether messages go through shared memory if the device has it. Default: true. */
  readonly share?: boolean;
}

/** Limit of the prepared programs that a worker keeps. A run has four. */
const maxPreparedPrograms = 8;

/** Executes the messages of a coordinator. The caller passes them in their order and waits for each before the next. */
export class Worker {
  readonly #device: WorkerDevice;
  readonly #clock: Clock;
  readonly #join: JoinPeers;
  readonly #failpoints: Failpoints;
  readonly #share: boolean;
  readonly #batches = new BatchReader();
  readonly #replicas: ReplicaStore;
  /** Prepared programs of this run and of earlier runs, because the next run may have the same. */
  readonly #programs = new Map<string, Prepared>();
  #member: Membership | undefined;
  /** The last run, its epoch and the rank in it. Older messages of that run are stale even after the worker has left it. */
  #fence: { readonly run: string; readonly epoch: Epoch; readonly worker: WorkerRank } | undefined;

  constructor(device: WorkerDevice, clock: Clock, options: WorkerOptions = {}) {
    this.#device = device;
    this.#clock = clock;
    this.#join = options.join ?? joinOver(systemRuntime);
    this.#failpoints = options.failpoints ?? noFailpoints;
    this.#share = options.share ?? true;
    this.#replicas = new ReplicaStore(new SharedBufferPool(this.#share ? device.stagingMemory : undefined));
  }

  /** Lets pending exchanges with peers fail, because a message that ends the run has arrived. */
  interrupt(why: LapidaryError): void {
    this.#member?.peers?.abort(why);
  }

  /** Lets pending exchanges with peers fail. Messages that were sent still arrive, because the peers may be replicating. */
  leavePeers(): void {
    void this.#member?.peers?.close();
  }

  /** The run whose replicas this worker holds, and its rank in that run. */
  get heldReplicas(): HeldReplicas | undefined {
    if (this.#fence === undefined || this.#replicas.names.length === 0) return undefined;
    return { run: this.#fence.run, worker: this.#fence.worker };
  }

  /** The answer to a message was sent. */
  answered(message: WorkerMessage): void {
    if (message.kind === "run" && message.update === true && this.#member !== undefined)
      this.#failpoints.hit("after-vote", updatesAfter(message.step), this.#member.worker);
  }

  /** @throws LapidaryError */
  async execute(message: WorkerMessage, payload: Uint8Array): Promise<Answer> {
    this.#refuseStale(message);
    switch (message.kind) {
      case "configure":
        return { reply: await this.#configure(message) };
      case "load":
        return { reply: this.#load(message, payload) };
      case "put":
        return { reply: this.#put(message, payload) };
      case "feed":
        return { reply: this.#feed(message) };
      case "run":
        return this.#run(message);
      case "describe":
        return { reply: this.#describe(message) };
      case "fetch":
        return this.#fetch(message);
      case "drop":
        return { reply: this.#drop(message) };
      case "stats":
        return { reply: this.#stats() };
      case "copy":
        return { reply: await this.#replicate(message) };
      case "image":
        return { reply: this.#openStagingBuffer(message) };
      case "snapshot":
        return { reply: this.#stage(message) };
      case "holdings":
        this.#memberFor(message);
        this.#replicas.removeAbove(message.latest);
        return { reply: { copies: this.#replicas.names } };
      case "lend": {
        this.#memberFor(message);
        const { entries, bytes } = this.#replicas.get(message.copy);
        return { reply: { entries }, payload: bytes };
      }
      case "adopt":
        return { reply: this.#storeReplica(message, payload) };
      case "restore":
        return { reply: this.#restore(message) };
      case "reset":
        await this.leave();
        if (message.keepCopies !== true) this.#replicas.clear();
        return { reply: {} };
      case "shutdown":
        await this.leave();
        return { reply: {} };
      default:
        return assertNever(message);
    }
  }

  #refuseStale(message: WorkerMessage): void {
    if (this.#fence === undefined || message.kind === "shutdown" || message.kind === "stats") return;
    const sameRun = message.kind !== "configure" || message.run === this.#fence.run;
    const stale = message.kind === "configure" ? message.epoch <= this.#fence.epoch : message.epoch < this.#fence.epoch;
    if (sameRun && stale) throw staleError(message.epoch, this.#fence.epoch);
  }

  /** @throws LAP_WORKER_IDLE if the worker is not in the epoch of the message */
  #memberFor(message: WorkerMessage): Membership {
    const member = this.#member;
    if (member === undefined || member.configuration.epoch !== message.epoch) throw idleError(message.kind, message.epoch);
    return member;
  }

  async #configure(message: ConfigureMessage): Promise<WorkerReplies["configure"]> {
    if (this.#member !== undefined && this.#member.configuration.run !== message.run)
      throw busyError(this.#member.configuration.run, message.run);
    await this.leave();
    const mesh = parseMesh(message.mesh);
    const grid = makeWorkerGrid(mesh, message.workers);
    const group: GroupLayout = { mesh, grid };
    assert(grid.workers === message.workers, "a worker group fills its grid", grid.workers, message.workers);
    assert(message.executor === "stacked" || message.workers === 1, "the chipwise executor has all chips in one worker", message.workers);
    this.#fence = { run: message.run, epoch: message.epoch, worker: message.worker };
    this.#replicas.enter(message.run);
    const faults = this.#failpoints.armed ? new StepFaults(this.#failpoints, message.worker) : undefined;
    const peers = message.workers === 1 ? undefined : await this.#join(message, faults?.tamper);
    const executor = this.#device.executor({ configuration: message, group, peers, clock: this.#clock, share: this.#share, hooks: faults });
    this.#member = {
      configuration: message,
      group,
      worker: message.worker,
      executor,
      peers,
      values: new ValueStore(),
      programs: new Map(),
      // A block of the chipwise executor has several tensors.
      stagingBuffers: new StagingBuffers(message.executor === "chipwise" ? undefined : this.#device.stagingMemory, group, message.worker),
      faults,
      runs: 0,
    };
    return { backend: this.#device.backend };
  }

  #load(message: MessageOf<"load">, payload: Uint8Array): WorkerReplies["load"] {
    const { programs, executor, group, worker } = this.#memberFor(message);
    this.#failpoints.hit("plan-received", 1, worker);
    const known = programs.get(message.program);
    const executable = known?.executable ?? executor.load(this.#prepared(payload));
    if (known === undefined) {
      const layouts = (tensors: readonly TensorSpec[]): string[] => tensors.map((tensor) => layoutText(group.mesh, tensor));
      programs.set(message.program, {
        executable,
        parameterLayouts: layouts(executable.tensors.parameters),
        outputLayouts: layouts(executable.tensors.outputs),
      });
    }
    return { kernels: executable instanceof StackedProgram ? executable.plannedKernels : 0 };
  }

  /** Prepares a program once for all worker groups of one layout. */
  #prepared(text: Uint8Array): Prepared {
    const { executor, configuration } = ensure(this.#member, "membership");
    const { mesh, workers, numerics, executor: kind } = configuration;
    const key = [createHash("sha256").update(text).digest("hex"), mesh, workers, numerics, kind].join(" ");
    const prepared = this.#programs.get(key) ?? executor.prepare(readProgram(text));
    // In the order of their last use.
    this.#programs.delete(key);
    this.#programs.set(key, prepared);
    for (const oldest of [...this.#programs.keys()].slice(0, -maxPreparedPrograms)) this.#programs.delete(oldest);
    return prepared;
  }

  #put(message: PutMessage, payload: Uint8Array): WorkerReplies["put"] {
    return { bytes: keepBytes(this.#memberFor(message), message.tensor, payload) };
  }

  #feed(message: MessageOf<"feed">): WorkerReplies["feed"] {
    const member = this.#memberFor(message);
    const blocks = this.#batches.read(message, member.group, member.worker);
    return { bytes: blocks.reduce((sum, { port, block }) => sum + keepBlock(member, port.tensor, block), 0) };
  }

  async #run(message: RunMessage): Promise<Answer<"run">> {
    const member = this.#memberFor(message);
    const calls = this.#device.kernelCalls;
    const program = member.programs.get(message.program);
    const values = message.values ?? program?.values ?? noValues;
    try {
      if (program === undefined) throw unknownProgramError(message.program);
      if (values !== program.values) checkValues(values, program.executable);
      program.values = values;
      const before = program.executable.times;
      const { faults } = member;
      if (message.update === true && faults !== undefined) {
        const { executable } = program;
        faults.begin(updatesAfter(message.step), executable instanceof StackedProgram ? executable.schedule : []);
      }
      const hit = (name: "mid-apply" | "after-apply" | "before-vote"): void => {
        if (message.update === true) this.#failpoints.hit(name, updatesAfter(message.step), member.worker);
      };
      const options = { traced: message.trace === true, midApply: () => hit("mid-apply") };
      const { trace, scalars } = await this.#repeat(1 + (message.repeats ?? 0), () => runProgram(member, program, values, options)).finally(
        () => faults?.end(),
      );
      hit("after-apply");
      // A step of reinforcement learning begins with such runs: the tokens of its completions.
      if (message.update !== true) this.#failpoints.hit("after-inference", updatesAfter(message.step), member.worker);
      hit("before-vote");
      const after = program.executable.times;
      // The first run has allocated buffers and loaded code. Later runs need no more.
      if (after.runs === 2) this.#device.releaseMemory();
      const reply: RunReply = {
        step: message.step,
        kernelCalls: this.#device.kernelCalls - calls,
        total_ms: after.total_ms - before.total_ms,
        gemm_ms: after.gemm_ms - before.gemm_ms,
        otherKernels_ms: after.otherKernels_ms - before.otherKernels_ms,
        fused_ms: after.fused_ms - before.fused_ms,
        fabricWait_ms: after.fabricWait_ms - before.fabricWait_ms,
        ...(trace === undefined ? {} : { trace }),
      };
      return scalars === undefined ? { reply } : { reply, payload: scalars };
    } catch (error) {
      const failure = asLapidaryError(error);
      for (const id of [...values.donate, ...values.outputs])
        if (id !== null && (!member.values.has(id) || values.donate.includes(id))) member.values.set(id, failure);
      // The peers must not wait for messages that this worker will never send.
      member.peers?.abort(failure);
      throw failure;
    }
  }

  /** Runs something several times. The event loop runs in between, because it reports that a worker has left. @returns the last result */
  async #repeat<T>(times: number, run: () => Promise<T>): Promise<T> {
    let last = this.#clock.monotonic();
    for (let left = times; left > 1; left--) {
      await run();
      if (this.#clock.monotonic() - last < tickEvery_ms) continue;
      await new Promise((resolve) => setImmediate(resolve));
      last = this.#clock.monotonic();
    }
    return run();
  }

  #describe(message: MessageOf<"describe">): WorkerReplies["describe"] {
    const program = this.#memberFor(message).programs.get(message.program);
    if (program === undefined) throw unknownProgramError(message.program);
    return { calls: program.executable.calls };
  }

  #fetch(message: FetchMessage): Answer<"fetch"> {
    const { values, executor } = this.#memberFor(message);
    const { held, tensor } = values.get(message.value);
    return { reply: { tensor }, payload: bytesOfNumbers(executor.fetch(held, tensor).data) };
  }

  #drop(message: DropMessage): WorkerReplies["drop"] {
    const { values } = this.#memberFor(message);
    return { bytes: message.values.reduce((sum, id) => sum + values.drop(id), 0) };
  }

  #stats(): WorkerStats {
    const member = this.#member;
    return {
      backend: this.#device.backend,
      ...this.#device.usage(),
      values: member?.values.bytes() ?? {},
      kernelCalls: this.#device.kernelCalls,
      programs: Object.fromEntries([...(member?.programs ?? [])].map(([hash, { executable }]) => [hash, executable.times])),
    };
  }

  async #replicate(message: ReplicateMessage): Promise<WorkerReplies["copy"]> {
    const member = this.#memberFor(message);
    const begin = this.#device.processorTime_ms();
    this.#failpoints.hit("snapshot-copy", message.step, member.worker);
    const bytes = await replicate(member, message, this.#replicas);
    // Processor time, because waiting for a neighbour costs nothing: the next collective would wait for it too.
    return { bytes, ms: this.#device.processorTime_ms() - begin };
  }

  #openStagingBuffer(message: OpenStagingMessage): WorkerReplies["image"] {
    return { opened: this.#memberFor(message).stagingBuffers.open(message.path, message.bytes, message.tensors) };
  }

  #stage(message: StageMessage): WorkerReplies["snapshot"] {
    const begin = this.#clock.monotonic();
    const { stagingBuffers, values } = this.#memberFor(message);
    return { ...stagingBuffers.write(message.path, values), ms: this.#clock.monotonic() - begin };
  }

  #storeReplica(message: StoreReplicaMessage, payload: Uint8Array): WorkerReplies["adopt"] {
    this.#memberFor(message);
    this.#replicas.add({ name: message.copy, entries: message.entries, bytes: new Uint8Array(payload) });
    return { bytes: payload.byteLength };
  }

  #restore(message: MessageOf<"restore">): WorkerReplies["restore"] {
    const member = this.#memberFor(message);
    const { worker, workers, mesh } = member.configuration;
    const { entries, bytes } = this.#replicas.get({ step: message.step, worker, workers, mesh });
    // The device may keep the array, so it gets its own bytes.
    for (const { tensor, begin, bytes: length } of entries) keepBytes(member, tensor, bytes.slice(begin, begin + length));
    return { bytes: bytes.byteLength };
  }

  /** Leaves the run, if the worker is in one. Its replicas stay. */
  async leave(): Promise<void> {
    const member = this.#member;
    this.#member = undefined;
    if (member === undefined) return;
    member.values.clear();
    member.stagingBuffers.close();
    for (const { executable } of member.programs.values()) executable.dispose();
    this.#batches.close();
    await member.peers?.close();
  }
}

function readProgram(text: Uint8Array): Graph {
  const graph = parseGraph(new TextDecoder().decode(text));
  verifyGraph(graph);
  return graph;
}

/** Repeated runs let the event loop run if it has not done so for this long. */
const tickEvery_ms = 50;

const noValues: RunValues = { inputs: [], outputs: [], donate: [], told: [] };
