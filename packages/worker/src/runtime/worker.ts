import { createHash } from "node:crypto";
import { chipwiseExecutor, type Device, type Prepared, stackedExecutor, StackedProgram } from "@lapidary/executor";
import { type FrameFault, type Peers, connectPeers } from "@lapidary/fabric";
import { type Graph, parseGraph, verifyGraph } from "@lapidary/ir";
import {
  type AdoptMessage,
  type ConfigureMessage,
  type CopyMessage,
  type DropMessage,
  type Epoch,
  type FetchMessage,
  type GroupLayout,
  type Holding,
  type ImageMessage,
  type MessageKind,
  type MessageOf,
  type PutMessage,
  type RunMessage,
  type RunReply,
  type RunValues,
  type SnapshotMessage,
  type TensorSpec,
  type WorkerMessage,
  type WorkerRank,
  type WorkerReplies,
  type WorkerStats,
  bytesOfNumbers,
  updatesAfter,
} from "@lapidary/protocol";
import { type Clock, type Failpoints, type LapidaryError, assert, must, noFailpoints, unreachable } from "@lapidary/std";
import { makeWorkerGrid, parseMesh } from "@lapidary/topology";
import { Copies } from "./copies.js";
import { CopyRooms } from "./copy-rooms.js";
import { asLapidaryError, busyError, idleError, staleError, unknownProgramError } from "./errors.js";
import { StepFaults } from "./faults.js";
import { BatchReader } from "./feed.js";
import { type Membership, keepBlock, keepBytes } from "./membership.js";
import { releaseMemory } from "./release-memory.js";
import { replicate } from "./replicate.js";
import { checkValues, runProgram } from "./run-program.js";
import { Snapshots } from "./snapshots.js";
import { ValueStore, layoutText } from "./values.js";

export interface Answer<K extends MessageKind = MessageKind> {
  readonly reply: WorkerReplies[K];
  readonly payload?: Uint8Array;
}

/** Finds the peers of a gang; passed in, so that tests can join gangs within one process. */
export type JoinPeers = (message: ConfigureMessage, tamper?: FrameFault) => Promise<Peers>;

const joinBySockets: JoinPeers = ({ worker, peers, epoch }, tamper) =>
  connectPeers({ self: worker, paths: peers, epoch, ...(tamper === undefined ? {} : { injectFault: tamper }) });

export interface WorkerOptions {
  readonly join?: JoinPeers;
  readonly failpoints?: Failpoints;
  /** Whether messages go through memory that the workers share, where they can (it is the default). */
  readonly share?: boolean;
}

/** Prepared programs that a worker remembers: a run has four. */
const programsKept = 8;

/**
 * A worker: executes messages one at a time. Whoever calls `execute` keeps their order.
 */
export class Worker {
  readonly #device: Device;
  readonly #clock: Clock;
  readonly #join: JoinPeers;
  readonly #failpoints: Failpoints;
  readonly #share: boolean;
  readonly #batches = new BatchReader();
  readonly #copies: Copies;
  /** Of this run and those before it: the next may have the same. */
  readonly #programs = new Map<string, Prepared>();
  #member: Membership | undefined;
  /** The last run, epoch and rank: older messages of that run are stale even after it was left. */
  #fence: { readonly run: string; readonly epoch: Epoch; readonly worker: WorkerRank } | undefined;

  constructor(device: Device, clock: Clock, options: WorkerOptions = {}) {
    this.#device = device;
    this.#clock = clock;
    this.#join = options.join ?? joinBySockets;
    this.#failpoints = options.failpoints ?? noFailpoints;
    this.#share = options.share ?? true;
    this.#copies = new Copies(new CopyRooms(this.#share ? device.images : undefined));
  }

  /** Makes whatever waits for peers fail, because a message came that ends the run. */
  interrupt(why: LapidaryError): void {
    this.#member?.peers?.abort(why);
  }

  /** Makes whatever waits for peers fail; what was sent to them still arrives, for they may be copying. */
  part(): void {
    void this.#member?.peers?.close();
  }

  /** The run whose copies it holds, and as which of its workers it made them. */
  get holds(): Holding | undefined {
    if (this.#fence === undefined || this.#copies.names.length === 0) return undefined;
    return { run: this.#fence.run, worker: this.#fence.worker };
  }

  /** The answer to a message is on its way. */
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
        return { reply: await this.#copy(message) };
      case "image":
        return { reply: this.#openImage(message) };
      case "snapshot":
        return { reply: this.#snapshot(message) };
      case "holdings":
        this.#belong(message);
        this.#copies.forgetAbove(message.latest);
        return { reply: { copies: this.#copies.names } };
      case "lend": {
        this.#belong(message);
        const { entries, bytes } = this.#copies.get(message.copy);
        return { reply: { entries }, payload: bytes };
      }
      case "adopt":
        return { reply: this.#adopt(message, payload) };
      case "restore":
        return { reply: this.#restore(message) };
      case "reset":
        await this.leave();
        if (message.keepCopies !== true) this.#copies.clear();
        return { reply: {} };
      case "shutdown":
        await this.leave();
        return { reply: {} };
      default:
        return unreachable(message);
    }
  }

  #refuseStale(message: WorkerMessage): void {
    if (this.#fence === undefined || message.kind === "shutdown" || message.kind === "stats") return;
    const sameRun = message.kind !== "configure" || message.run === this.#fence.run;
    const stale = message.kind === "configure" ? message.epoch <= this.#fence.epoch : message.epoch < this.#fence.epoch;
    if (sameRun && stale) throw staleError(message.epoch, this.#fence.epoch);
  }

  #belong(message: WorkerMessage): Membership {
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
    assert(grid.workers === message.workers, "a gang fills its grid", grid.workers, message.workers);
    assert(message.executor === "stacked" || message.workers === 1, "the chipwise executor has all chips in one worker", message.workers);
    this.#fence = { run: message.run, epoch: message.epoch, worker: message.worker };
    this.#copies.enter(message.run);
    const faults = this.#failpoints.armed ? new StepFaults(this.#failpoints, message.worker) : undefined;
    const peers = message.workers === 1 ? undefined : await this.#join(message, faults?.tamper);
    const shared = { device: this.#device, mesh, numerics: message.numerics, clock: this.#clock };
    const executor =
      message.executor === "chipwise"
        ? chipwiseExecutor(this.#device, mesh, message.numerics, this.#clock)
        : stackedExecutor({
            ...shared,
            grid,
            worker: message.worker,
            peers,
            share: this.#share,
            ...(faults === undefined ? {} : { hooks: faults }),
          });
    this.#member = {
      configuration: message,
      group,
      worker: message.worker,
      executor,
      peers,
      values: new ValueStore(),
      programs: new Map(),
      // The chipwise executor has no block in one piece.
      snapshots: new Snapshots(message.executor === "chipwise" ? undefined : this.#device.images, group, message.worker),
      faults,
      runs: 0,
    };
    return { backend: this.#device.backend };
  }

  #load(message: MessageOf<"load">, payload: Uint8Array): WorkerReplies["load"] {
    const { programs, executor, group, worker } = this.#belong(message);
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

  /** Worked out once for all gangs of one layout. */
  #prepared(text: Uint8Array): Prepared {
    const { executor, configuration } = must(this.#member, "membership");
    const { mesh, workers, numerics, executor: kind } = configuration;
    const key = [createHash("sha256").update(text).digest("hex"), mesh, workers, numerics, kind].join(" ");
    const prepared = this.#programs.get(key) ?? executor.prepare(readProgram(text));
    // The one that was wanted last stands last.
    this.#programs.delete(key);
    this.#programs.set(key, prepared);
    for (const oldest of [...this.#programs.keys()].slice(0, -programsKept)) this.#programs.delete(oldest);
    return prepared;
  }

  #put(message: PutMessage, payload: Uint8Array): WorkerReplies["put"] {
    return { bytes: keepBytes(this.#belong(message), message.tensor, payload) };
  }

  #feed(message: MessageOf<"feed">): WorkerReplies["feed"] {
    const member = this.#belong(message);
    const blocks = this.#batches.read(message, member.group, member.worker);
    return { bytes: blocks.reduce((sum, { port, block }) => sum + keepBlock(member, port.tensor, block), 0) };
  }

  async #run(message: RunMessage): Promise<Answer<"run">> {
    const member = this.#belong(message);
    const calls = this.#device.kernelCalls;
    const program = member.programs.get(message.program);
    const named = message.values ?? program?.values ?? noValues;
    try {
      if (program === undefined) throw unknownProgramError(message.program);
      if (named !== program.values) checkValues(named, program.executable);
      program.values = named;
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
      const { trace, told } = await runProgram(member, program, named, options).finally(() => faults?.end());
      hit("after-apply");
      hit("before-vote");
      const after = program.executable.times;
      // The first run has made buffers and loaded code; from now on the process is as it will be.
      if (after.runs === 2) releaseMemory();
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
      return told === undefined ? { reply } : { reply, payload: told };
    } catch (error) {
      const failure = asLapidaryError(error);
      for (const id of [...named.donate, ...named.outputs])
        if (id !== null && (!member.values.has(id) || named.donate.includes(id))) member.values.set(id, failure);
      // The peers must not wait for what this worker will never send.
      member.peers?.abort(failure);
      throw failure;
    }
  }

  #describe(message: MessageOf<"describe">): WorkerReplies["describe"] {
    const program = this.#belong(message).programs.get(message.program);
    if (program === undefined) throw unknownProgramError(message.program);
    return { calls: program.executable.calls };
  }

  #fetch(message: FetchMessage): Answer<"fetch"> {
    const { values, executor } = this.#belong(message);
    const { held, tensor } = values.get(message.value);
    return { reply: { tensor }, payload: bytesOfNumbers(executor.fetch(held, tensor).data) };
  }

  #drop(message: DropMessage): WorkerReplies["drop"] {
    const { values } = this.#belong(message);
    return { bytes: message.values.reduce((sum, id) => sum + values.drop(id), 0) };
  }

  #stats(): WorkerStats {
    const member = this.#member;
    return {
      backend: this.#device.backend,
      pid: process.pid,
      values: member?.values.bytes() ?? {},
      kernelCalls: this.#device.kernelCalls,
      tensors: this.#device.tf.memory().numTensors,
      rss_bytes: process.memoryUsage.rss(),
      programs: Object.fromEntries([...(member?.programs ?? [])].map(([hash, { executable }]) => [hash, executable.times])),
    };
  }

  async #copy(message: CopyMessage): Promise<WorkerReplies["copy"]> {
    const member = this.#belong(message);
    const begin = process.cpuUsage();
    this.#failpoints.hit("snapshot-copy", message.step, member.worker);
    const bytes = await replicate(member, message, this.#copies);
    // By the processor's time: waiting for a neighbour costs nothing, because the next collective would wait for it too; sending and receiving do.
    const { user, system } = process.cpuUsage(begin);
    return { bytes, ms: (user + system) / 1000 };
  }

  #openImage(message: ImageMessage): WorkerReplies["image"] {
    return { opened: this.#belong(message).snapshots.open(message.path, message.bytes, message.tensors) };
  }

  #snapshot(message: SnapshotMessage): WorkerReplies["snapshot"] {
    const begin = this.#clock.monotonic();
    const { snapshots, values } = this.#belong(message);
    return { ...snapshots.take(message.path, values), ms: this.#clock.monotonic() - begin };
  }

  #adopt(message: AdoptMessage, payload: Uint8Array): WorkerReplies["adopt"] {
    this.#belong(message);
    this.#copies.add({ name: message.copy, entries: message.entries, bytes: new Uint8Array(payload) });
    return { bytes: payload.byteLength };
  }

  #restore(message: MessageOf<"restore">): WorkerReplies["restore"] {
    const member = this.#belong(message);
    const { worker, workers, mesh } = member.configuration;
    const { entries, bytes } = this.#copies.get({ step: message.step, worker, workers, mesh });
    // The device may keep the array that it is given.
    for (const { tensor, begin, bytes: length } of entries) keepBytes(member, tensor, bytes.slice(begin, begin + length));
    return { bytes: bytes.byteLength };
  }

  /** Leaves the run, if it is in one; its copies stay. */
  async leave(): Promise<void> {
    const member = this.#member;
    this.#member = undefined;
    if (member === undefined) return;
    member.values.clear();
    member.snapshots.close();
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

const noValues: RunValues = { inputs: [], outputs: [], donate: [], told: [] };
