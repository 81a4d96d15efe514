import { createHash } from "node:crypto";
import { type FrameFault, type Peers, connectPeers } from "@lapidary/fabric";
import { type Graph, type Sharding, type TensorType, parseGraph, parseSharding, printSharding, sizeOf, verifyGraph } from "@lapidary/ir";
import { type Clock, type Failpoints, type LapidaryError, assert, must, noFailpoints, unreachable } from "@lapidary/std";
import { type Mesh, type WorkerGrid, makeWorkerGrid, parseMesh } from "@lapidary/topology";
import { type ArrayData, arrayOf, blockDimsOf, bytesOfNumbers, numbersOf } from "../blocks.js";
import type { Device } from "../device/device.js";
import { chipwiseExecutor } from "../executor/chipwise.js";
import { type CallTimes, type Executable, type Executor, type Prepared, disposeHeld, heldBytes } from "../executor/executor.js";
import { StackedProgram, stackedExecutor } from "../executor/stacked.js";
import type {
  AdoptMessage,
  ConfigureMessage,
  CopyEntry,
  CopyMessage,
  CopyName,
  DropMessage,
  FetchMessage,
  Holding,
  ImageMessage,
  MessageKind,
  MessageOf,
  ProgramHash,
  PutMessage,
  RunMessage,
  RunReply,
  RunValues,
  SnapshotMessage,
  ValueId,
  WorkerMessage,
  WorkerReplies,
  WorkerStats,
} from "../protocol.js";
import { Copies } from "./copies.js";
import { CopyRooms, type Reading } from "./copy-rooms.js";
import { giveCopy } from "./give-copy.js";
import { asLapidaryError, busyError, idleError, staleError, unknownProgramError, valueExistsError, valueTypeError } from "./errors.js";
import { StepFaults } from "./faults.js";
import { BatchReader } from "./feed.js";
import { releaseMemory } from "./release-memory.js";
import { Snapshots } from "./snapshots.js";
import { ValueStore, layoutOf } from "./values.js";

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

/** A run that this worker takes part in. */
interface Membership {
  readonly configuration: ConfigureMessage;
  readonly mesh: Mesh;
  readonly grid: WorkerGrid;
  readonly executor: Executor;
  readonly peers: Peers | undefined;
  readonly values: ValueStore;
  readonly programs: Map<ProgramHash, LoadedProgram>;
  readonly snapshots: Snapshots;
  /** Where tests let this worker fail, if they do. */
  readonly faults: StepFaults | undefined;
  /** Runs so far: the same on all workers, for all get the same messages. */
  runs: number;
}

interface LoadedProgram {
  readonly executable: Executable;
  /** Of parameters and outputs, to compare with values. */
  readonly parameterLayouts: readonly string[];
  readonly outputLayouts: readonly string[];
  /** Of its last run. */
  values?: RunValues;
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
  #fence: { readonly run: string; readonly epoch: number; readonly worker: number } | undefined;

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
      this.#failpoints.hit("after-vote", message.step + 1, this.#member.configuration.worker);
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
      mesh,
      grid,
      executor,
      peers,
      values: new ValueStore(),
      programs: new Map(),
      // The chipwise executor has no block in one piece.
      snapshots: new Snapshots(message.executor === "chipwise" ? undefined : this.#device.images),
      faults,
      runs: 0,
    };
    return { backend: this.#device.backend };
  }

  #load(message: MessageOf<"load">, payload: Uint8Array): WorkerReplies["load"] {
    const { programs, executor, mesh, configuration } = this.#belong(message);
    this.#failpoints.hit("plan-received", 1, configuration.worker);
    const known = programs.get(message.program);
    const executable = known?.executable ?? executor.load(this.#prepared(payload));
    if (known === undefined) {
      const layouts = (ports: Executable["parameters"]): string[] => ports.map(({ type, sharding }) => layoutOf(mesh, type, sharding));
      programs.set(message.program, {
        executable,
        parameterLayouts: layouts(executable.parameters),
        outputLayouts: layouts(executable.outputs),
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
    const { mesh, grid } = this.#belong(message);
    const sharding = parseSharding(mesh, message.sharding);
    const type = { dtype: message.dtype, dims: message.dims };
    const block = arrayOf(message.dtype, blockDimsOf(mesh, grid, message.dims, sharding), numbersOf(message.dtype, payload));
    return { bytes: this.#store(message.value, type, sharding, block) };
  }

  #feed(message: MessageOf<"feed">): WorkerReplies["feed"] {
    const { mesh, grid, configuration } = this.#belong(message);
    const blocks = this.#batches.read(message, mesh, grid, configuration.worker);
    const bytes = blocks.map(({ port, sharding, block }) =>
      this.#store(port.value, { dtype: block.dtype, dims: [message.batch, message.seq] }, sharding, block),
    );
    return { bytes: bytes.reduce((sum, count) => sum + count, 0) };
  }

  #store(id: ValueId, type: TensorType, sharding: Sharding, block: ArrayData): number {
    const { values, executor, mesh } = must(this.#member, "membership");
    const held = executor.put(type, sharding, block);
    values.set(id, { held, type, sharding, layout: layoutOf(mesh, type, sharding) });
    return heldBytes(held);
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
        faults.begin(message.step + 1, executable instanceof StackedProgram ? executable.schedule : []);
      }
      const hit = (name: "mid-apply" | "after-apply" | "before-vote"): void => {
        if (message.update === true) this.#failpoints.hit(name, message.step + 1, member.configuration.worker);
      };
      const { trace, told } = await compute(member, program, named, message.trace === true, () => hit("mid-apply")).finally(() =>
        faults?.end(),
      );
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
    const { values, executor, mesh } = this.#belong(message);
    const { held, type, sharding } = values.get(message.value);
    const { dtype, dims, data } = executor.fetch(held, type, sharding);
    return { reply: { dtype, dims, sharding: printSharding(mesh, sharding) }, payload: bytesOfNumbers(data) };
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
    const { values, executor, mesh, grid, configuration, peers } = this.#belong(message);
    const { worker, workers } = configuration;
    const begin = process.cpuUsage();
    const { step } = message;
    this.#failpoints.hit("snapshot-copy", step, worker);
    const entries: CopyEntry[] = [];
    let size = 0;
    for (const id of message.values) {
      const { type, sharding } = values.get(id);
      const bytes = 4 * sizeOf(blockDimsOf(mesh, grid, type.dims, sharding));
      entries.push({ value: id, dtype: type.dtype, dims: type.dims, sharding: printSharding(mesh, sharding), begin: size, bytes });
      size += bytes;
    }
    // Values of the chipwise executor are in many pieces, and only numbers of f32 are laid.
    const isLaid = configuration.executor === "stacked" && entries.every(({ dtype }) => dtype === "f32");
    const room = isLaid ? this.#copies.rooms.take(size) : undefined;
    const bytes = room?.bytes ?? this.#copies.take(size);
    if (room !== undefined)
      room.lay(
        entries.map(({ value }) => must(values.get(value).held[0], value)),
        entries.map((entry) => entry.bytes),
      );
    else
      for (const entry of entries) {
        const { held, type, sharding } = values.get(entry.value);
        bytes.set(bytesOfNumbers(executor.fetch(held, type, sharding).data), entry.begin);
      }
    const own: CopyName = { step, worker, workers, mesh: configuration.mesh };
    if (peers !== undefined) {
      const [next, previous] = [(worker + 1) % workers, (worker + workers - 1) % workers];
      let theirs: Reading;
      try {
        theirs = await giveCopy({ peers, next, previous, tag: `copy/${step}`, bytes, room, copies: this.#copies });
      } catch (error) {
        // It is no copy of anything, but memory for the next one.
        if (room !== undefined) this.#copies.rooms.give(room);
        throw error;
      }
      // The same values under the same shardings: the blocks of all workers are alike.
      this.#copies.add({ name: { ...own, worker: previous }, entries, ...theirs });
    }
    this.#copies.add({ name: own, entries, bytes, room });
    this.#copies.prune(message.committed);
    // By the processor's time: waiting for a neighbour costs nothing, as the next collective would wait for it too; sending and receiving do.
    const { user, system } = process.cpuUsage(begin);
    return { bytes: size, ms: (user + system) / 1000 };
  }

  #openImage(message: ImageMessage): WorkerReplies["image"] {
    return { opened: this.#belong(message).snapshots.open(message.path, message.bytes, message.places) };
  }

  #snapshot(message: SnapshotMessage): WorkerReplies["snapshot"] {
    const begin = this.#clock.monotonic();
    const { snapshots, values, mesh, grid, configuration } = this.#belong(message);
    const laid = snapshots.take(message.path, values, { mesh, grid, worker: configuration.worker });
    return { ...laid, ms: this.#clock.monotonic() - begin };
  }

  #adopt(message: AdoptMessage, payload: Uint8Array): WorkerReplies["adopt"] {
    this.#belong(message);
    this.#copies.add({ name: message.copy, entries: message.entries, bytes: new Uint8Array(payload) });
    return { bytes: payload.byteLength };
  }

  #restore(message: MessageOf<"restore">): WorkerReplies["restore"] {
    const { mesh, grid, configuration } = this.#belong(message);
    const { worker, workers, mesh: meshText } = configuration;
    const { entries, bytes } = this.#copies.get({ step: message.step, worker, workers, mesh: meshText });
    for (const { value, dtype, dims, sharding: text, begin, bytes: length } of entries) {
      const sharding = parseSharding(mesh, text);
      // The device may keep the array that it is given.
      const numbers = numbersOf(dtype, bytes.slice(begin, begin + length));
      this.#store(value, { dtype, dims }, sharding, arrayOf(dtype, blockDimsOf(mesh, grid, dims, sharding), numbers));
    }
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

/** What can be said of a run's values before it is known which of them are held: once for all runs that have the same. */
function checkValues({ inputs, outputs, donate, told }: RunValues, { parameters, outputs: results }: Executable): void {
  assert(inputs.length === parameters.length, "an input for each parameter", inputs.length, parameters.length);
  assert(outputs.length === results.length, "an id for each output, or none", outputs.length, results.length);
  const named = outputs.filter((id) => id !== null);
  assert(new Set(named).size === named.length, "outputs have ids of their own", named);
  const times = new Map<ValueId, number>();
  for (const id of inputs) times.set(id, (times.get(id) ?? 0) + 1);
  const consumed = new Set(donate);
  assert(consumed.size === donate.length && donate.every((id) => times.get(id) === 1), "what is donated is an input, once", donate);
  for (const place of told) {
    const { type } = must(results[place], `output ${place}`);
    assert(sizeOf(type.dims) === 1, "what is told is one number", place, type.dims);
  }
}

/** One run: checks the ledger's claims, computes, and files the outputs. */
async function compute(
  member: Membership,
  program: LoadedProgram,
  named: RunValues,
  traced: boolean,
  midApply: () => void,
): Promise<{ readonly trace: CallTimes | undefined; readonly told: Uint8Array | undefined }> {
  const { values, executor } = member;
  const { inputs, outputs, donate } = named;
  const { executable, parameterLayouts, outputLayouts } = program;
  const consumed = new Set(donate);
  const given = inputs.map((id, i) => {
    const value = values.get(id);
    const wanted = must(parameterLayouts[i], "parameter");
    if (value.layout !== wanted) throw valueTypeError(`${id} for parameter ${executable.parameters[i]?.name ?? i}`, value.layout, wanted);
    return value.held;
  });
  for (const id of outputs) if (id !== null && values.has(id) && !consumed.has(id)) throw valueExistsError(id);
  // From here on the executable owns what is donated, whether it succeeds or fails.
  for (const id of donate) values.release(id);
  let trace: CallTimes | undefined;
  const results = await executable.run(
    given,
    inputs.map((id) => consumed.has(id)),
    `run${member.runs++}`,
    traced ? (times) => (trace = times) : undefined,
  );
  const told = new Uint8Array(4 * named.told.length);
  named.told.forEach((place, i) => {
    const { type, sharding } = must(executable.outputs[place], "output");
    told.set(bytesOfNumbers(executor.fetch(must(results[place], "result"), type, sharding).data), 4 * i);
  });
  outputs.forEach((id, i) => {
    if (i === outputs.length >> 1) midApply();
    const { type, sharding } = must(executable.outputs[i], "output");
    const held = must(results[i], "result");
    if (id === null) disposeHeld(held);
    else values.set(id, { held, type, sharding, layout: must(outputLayouts[i], "layout") });
  });
  return { trace, told: told.length === 0 ? undefined : told };
}
