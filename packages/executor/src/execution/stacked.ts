import { type HostCollective, type HostProgram, lower } from "@lapidary/compiler";
import type { Peers } from "@lapidary/fabric";
import { type CollectiveName, type OpName, type TensorType, ops } from "@lapidary/ir";
import { type CallName, type GroupLayout, type ProgramTensors, type WorkerRank, programTensors } from "@lapidary/protocol";
import { type Clock, assert, ensure } from "@lapidary/std";
import { atomsSize } from "@lapidary/topology";
import type { Device } from "../device/device.js";
import type { Bound } from "../device/native-ops.js";
import type { DeviceTensor } from "../device/tfjs.js";
import { type FusedCall, fusedItems, unfusedItems } from "../fusion/index.js";
import {
  type KernelContext,
  type KernelName,
  type Numerics,
  type Placement,
  bindInPlace,
  bindKernel,
  kernels,
  ownsMemory,
  blockPlacement,
  wholePlacement,
} from "../kernels/index.js";
import { type SequenceItem, type StepItem, findSequences } from "../sequence/find-sequences.js";
import { fusedNativeCall, nativeCall } from "../sequence/native-call.js";
import { findLoops, regionOf } from "../plan/loops.js";
import { makePlan } from "../plan/make-plan.js";
import type { NodeId, Plan, PlanNode } from "../plan/plan.js";
import { downloadAs } from "./chipwise.js";
import { type Exchange, bindExchange } from "./exchange.js";
import type { ExecutionHooks } from "./hooks.js";
import { type ScheduleItem, makeSchedule } from "./schedule.js";
import type { SharedExchange } from "../device/shared-memory.js";
import { SharedExchanges } from "./shared-exchange.js";
import { type BoundLoop, type OnStep, type RunContext, callOrder, StackedRun, type Step } from "./stacked-run.js";
import type { CallTimes, Executable, Executor, Held, Prepared } from "./executor.js";

export interface StackedOptions extends GroupLayout {
  readonly device: Device;
  readonly worker: WorkerRank;
  readonly peers: Peers | undefined;
  readonly numerics: Numerics;
  readonly clock: Clock;
  /** Whether chains of memory-bound ops are fused if the device has fused kernels. Default: true. */
  readonly fuse?: boolean;
  /** Whether messages go through shared memory if the device has it. Default: true. */
  readonly share?: boolean;
  readonly hooks?: ExecutionHooks;
}

/** The executor for training. It has one tensor for each value, for the whole grid of chips, and exchanges data with the peers. */
export function stackedExecutor(options: StackedOptions): Executor {
  const { device, grid } = options;
  return {
    prepare: (chip) => prepareHostProgram(lower(chip, grid), options, programTensors(chip)),
    load: (prepared) => {
      assert(prepared.kind === "stacked", "prepared by this executor", prepared.kind);
      return new StackedProgram(prepared, options);
    },
    put: ({ dtype }, block) => [device.upload(dtype, block.dims, block.data)],
    fetch: ([only], { dtype }) => {
      const held = ensure(only, "tensor");
      return downloadAs(device, held, dtype, held.shape);
    },
  };
}

export function prepareHostProgram(
  program: HostProgram,
  { device, numerics, fuse = true }: Pick<StackedOptions, "device" | "numerics" | "fuse">,
  tensors: ProgramTensors,
): PreparedStacked {
  const plan = makePlan(program.graph, {
    roundMatmulOperands: numerics === "mxu" && !device.hasBf16Matmul && !device.matmulRoundsToBf16,
    readsViews: device.fused !== undefined,
    fewRows: numerics === "f32" && device.native?.hasDot === true,
  });
  const schedule = makeSchedule(plan, fuse && device.fused !== undefined ? fusedItems(plan) : unfusedItems(plan));
  return { kind: "stacked", program, plan, schedule, tensors };
}

type PreparedStacked = Extract<Prepared, { readonly kind: "stacked" }>;

const microseconds = (ms: number): number => Math.round(ms * 1000);

export class StackedProgram implements Executable {
  readonly tensors: ProgramTensors;
  readonly plan: Plan;
  /** The items of a run, in order. */
  readonly schedule: readonly StepItem[];
  readonly #clock: Clock;
  readonly #hooks: ExecutionHooks | undefined;
  readonly #steps: readonly Step[];
  readonly #loops: readonly BoundLoop[];
  /** By node: tensors that are the same in every run. */
  readonly #constants: readonly (DeviceTensor | undefined)[];
  readonly #kept: DeviceTensor[] = [];
  readonly #parameterNodes: readonly NodeId[];
  /** By step, milliseconds over all runs. */
  readonly #stepTimes_ms: Float64Array;
  /** Collectives through shared memory. The workers agree on them at the first run. */
  readonly #shared: SharedExchanges | undefined;
  #links: ReadonlyMap<NodeId, SharedExchange> | undefined;
  readonly #device: Device;
  readonly #exclusive: ReadonlySet<NodeId>;
  #wait_ms = 0;
  #total_ms = 0;
  #runs = 0;

  constructor({ program, plan, schedule, tensors }: PreparedStacked, options: StackedOptions) {
    this.tensors = tensors;
    this.plan = plan;
    this.#clock = options.clock;
    this.#hooks = options.hooks;
    this.#parameterNodes = plan.nodes.filter((node) => node.op === "parameter").map((node) => node.id);
    assert(this.#parameterNodes.length === tensors.parameters.length, "a plan has the parameters of its program");
    this.#device = options.device;
    this.#exclusive = exclusiveOutputs(plan);
    const binder = new Binder(program, plan, options, this.#kept);
    this.#constants = binder.computeConstants();
    this.schedule = binder.sequences(schedule);
    this.#steps = binder.steps(this.schedule);
    this.#loops = binder.loops(this.schedule);
    this.#shared = binder.shared(this.#steps);
    this.#stepTimes_ms = new Float64Array(this.#steps.length);
  }

  /** Kernels and collectives of one run. */
  get plannedKernels(): number {
    return this.#steps.filter(({ kind }) => kind !== "finish").length;
  }

  get times(): Executable["times"] {
    const sum = (wanted: (step: Step) => boolean): number =>
      this.#steps.reduce((total, step, i) => (wanted(step) ? total + (this.#stepTimes_ms[i] ?? 0) : total), 0);
    return {
      gemm_ms: sum((step) => step.kind === "kernel" && step.isGemm),
      otherKernels_ms: sum((step) => step.kind !== "kernel" || !step.isGemm),
      fused_ms: sum((step) => step.kind === "fused" || step.kind === "sequence"),
      fabricWait_ms: this.#wait_ms,
      total_ms: this.#total_ms,
      runs: this.#runs,
    };
  }

  /** For each kernel and collective, in order: milliseconds over all runs. */
  profile(): { readonly node: PlanNode; readonly kind: Step["kind"]; readonly call?: FusedCall; readonly ms: number }[] {
    return this.#steps.map((step, i) => ({
      node: step.node,
      kind: step.kind,
      ms: this.#stepTimes_ms[i] ?? 0,
      ...(step.kind === "fused" ? { call: step.call } : {}),
    }));
  }

  get calls(): CallName[] {
    return callOrder(this.#steps.length, this.#loops).map((at) => {
      const step = ensure(this.#steps[at], "step");
      const { op, value } = step.node;
      const { phase, block } = value.scope;
      const base = { op, name: value.name, phase, ...(block === undefined ? {} : { block }) };
      switch (step.kind) {
        case "fused":
          return { ...base, kind: "fused", joins: step.call.group.members.length };
        case "sequence":
          return { ...base, kind: "fused", joins: step.joins };
        case "kernel":
          return { ...base, kind: step.isGemm ? "product" : "kernel" };
        default:
          return { ...base, kind: step.kind };
      }
    });
  }

  async run(inputs: readonly Held[], donated: readonly boolean[], tag: string, onTimes?: (times: CallTimes) => void): Promise<Held[]> {
    const clock = this.#clock;
    const began = clock.monotonic();
    const began_ms = onTimes === undefined ? 0 : (clock.sharedMonotonic?.() ?? 0);
    if (this.#runs === 0 && this.#links === undefined) this.#links = await this.#shared?.connect(`${tag}/shared`);
    const calls_us: number[] = [];
    const run = new StackedRun(this.#context(), tag, inputs, donated);
    const record: OnStep = (start, end, wait_ms) =>
      calls_us.push(microseconds(start - began), microseconds(end - start), microseconds(wait_ms));
    await run.execute(onTimes === undefined ? undefined : record).finally(() => {
      this.#wait_ms += run.wait_ms;
    });
    this.#runs++;
    this.#total_ms += clock.monotonic() - began;
    onTimes?.({ began_ms, calls_us });
    return this.plan.outputs.map(({ node }) => this.#keep(node, run.output(node)));
  }

  #keep(node: NodeId, output: Held): Held {
    if (this.#exclusive.has(node)) for (const tensor of output) this.#device.exclusive.add(tensor);
    return output;
  }

  #context(): RunContext {
    return {
      steps: this.#steps,
      loops: this.#loops,
      schedule: this.schedule,
      constants: this.#constants,
      parameterNodes: this.#parameterNodes,
      exclusive: this.#device.exclusive,
      clock: this.#clock,
      hooks: this.#hooks,
      links: this.#links,
      failure: () => this.#shared?.failure,
      times_ms: this.#stepTimes_ms,
    };
  }

  dispose(): void {
    this.#shared?.close();
    for (const tensor of this.#kept.splice(0)) tensor.dispose();
    for (const tensor of this.#constants) tensor?.dispose();
  }
}

/** The outputs whose memory is their own: no other output is a view of them. */
function exclusiveOutputs({ nodes, outputs }: Plan): ReadonlySet<NodeId> {
  const outputNodes = new Set(outputs.map(({ node }) => node));
  // Any output that is computed from another directly may be a view of it.
  const shared = new Set(nodes.filter(({ id }) => outputNodes.has(id)).flatMap(({ inputs }) => inputs));
  const owns = ({ op }: PlanNode): boolean => Object.hasOwn(kernels, op) && ownsMemory(op as KernelName);
  return new Set([...outputNodes].filter((id) => owns(ensure(nodes[id], "output")) && !shared.has(id)));
}

/** The nodes whose tensors exist after an item. */
function madeBy(item: StepItem): readonly NodeId[] {
  if (item.kind === "fused" || item.kind === "sequence") return item.call.outputs.filter((id) => typeof id === "number");
  return item.kind === "start" ? [] : [item.node.id];
}

/** By node, the last item that uses it; the item that computes it if nothing uses it. */
function lastUses(schedule: readonly StepItem[]): Map<NodeId, number> {
  const ends = new Map<NodeId, number>();
  schedule.forEach((item, i) => {
    if (item.kind === "fused" || item.kind === "sequence") {
      for (const id of [...item.call.outputs, ...item.call.inputs]) if (typeof id === "number") ends.set(id, i);
      return;
    }
    if (item.kind !== "start") ends.set(item.node.id, i);
    if (item.kind !== "finish") for (const id of item.node.inputs) ends.set(id, i);
  });
  return ends;
}

/** Turns the nodes of a plan into steps. All look-ups happen here. */
class Binder {
  constructor(
    readonly program: HostProgram,
    readonly plan: Plan,
    readonly options: StackedOptions,
    readonly kept: DeviceTensor[],
  ) {}

  /** Tensors of the constant nodes that other nodes use. The tensors of all other constant nodes are disposed. */
  computeConstants(): (DeviceTensor | undefined)[] {
    const { nodes } = this.plan;
    const slots: (DeviceTensor | undefined)[] = nodes.map(() => undefined);
    const used = new Set(nodes.flatMap((node) => (node.constant ? [] : node.inputs)));
    for (const node of nodes)
      if (node.constant) slots[node.id] = this.#kernel(node)(node.inputs.map((id) => ensure(slots[id], "constant")));
    return slots.map((tensor, id) => {
      if (tensor === undefined || used.has(id)) return tensor;
      tensor.dispose();
      return undefined;
    });
  }

  /** The schedule with joined kernels, if the program has few rows: its kernels take less time than a call. */
  sequences(schedule: readonly ScheduleItem[]): readonly StepItem[] {
    const { device, fuse } = this.options;
    const { sequences, fused } = device;
    if (!this.plan.fewRows || fuse === false || sequences === undefined || fused === undefined) return schedule;
    return findSequences(
      this.plan,
      schedule,
      (item) =>
        item.kind === "fused" ? fusedNativeCall(device, item.call) : nativeCall(device, item.node, () => this.#kernelContext(item.node)),
      (parameter) => this.#isOverwritable(parameter),
    );
  }

  steps(schedule: readonly StepItem[]): Step[] {
    const { nodes, outputs } = this.plan;
    // A value is freed after its last use, or after it is computed if nothing uses it.
    const ends = lastUses(schedule);
    const outputNodes = new Set(outputs.map(({ node }) => node));
    const frees: NodeId[][] = schedule.map(() => []);
    const late = this.#freedAfterLoops(schedule, ends);
    for (const [id, i] of ends) if (!ensure(nodes[id], "node").constant && !outputNodes.has(id) && !late.has(id)) frees[i]?.push(id);
    const exchanges = new Map(
      schedule.flatMap(({ kind, node }): [NodeId, Exchange][] => (kind === "start" ? [[node.id, this.#exchange(node)]] : [])),
    );
    return schedule.map((item, i): Step => {
      const dead = frees[i] ?? [];
      const { kind, node } = item;
      switch (kind) {
        case "fused":
          return { kind, node, call: item.call, run: ensure(this.options.device.fused, "fused kernels").bind(item.call), frees: dead };
        case "sequence":
          return this.#sequenceStep(item, dead);
        case "kernel":
          return {
            kind,
            node,
            run: this.#kernel(node),
            inPlace: this.#inPlaceKernel(node),
            isGemm: node.op === "dot_general",
            frees: dead,
          };
        case "start":
          return { kind, node, op: this.#collective(node).op, run: ensure(exchanges.get(node.id), "exchange"), frees: dead };
        case "finish":
          return { kind, node, frees: dead };
      }
    });
  }

  /** By loop, its last item and what is freed after its last iteration. */
  loops(schedule: readonly StepItem[]): BoundLoop[] {
    const late = this.#freedAfterLoops(schedule, lastUses(schedule));
    const outputNodes = new Set(this.plan.outputs.map(({ node }) => node));
    return findLoops(schedule).map((loop) => ({
      ...loop,
      frees: [...late].flatMap(([id, last]) => (last === loop.last && !outputNodes.has(id) ? [id] : [])),
    }));
  }

  /**
   * By node that is freed after the last iteration of a loop: the last item of the loop. These are values from before the loop that an
   * iteration reads, and yields that nothing reads after the loop.
   */
  #freedAfterLoops(schedule: readonly StepItem[], ends: ReadonlyMap<NodeId, number>): Map<NodeId, number> {
    const loops = findLoops(schedule);
    if (loops.length === 0) return new Map();
    const madeAt = new Map<NodeId, number>();
    schedule.forEach((item, i) => {
      for (const id of madeBy(item)) madeAt.set(id, i);
    });
    const late = new Map<NodeId, number>();
    for (const [id, end] of ends) {
      const loop = loops.find(({ first, last }) => first <= end && end <= last);
      const node = ensure(this.plan.nodes[id], "node");
      if (loop === undefined || node.constant || schedule[end]?.node.op === "carry") continue;
      if (node.op === "yield" || (madeAt.get(id) ?? -1) < loop.first) late.set(id, loop.last);
    }
    return late;
  }

  #sequenceStep({ kind, node, items, call }: SequenceItem, frees: readonly NodeId[]): Step {
    const { device } = this.options;
    const fixed = call.inputs.map((input) =>
      typeof input === "number" ? undefined : this.#keep(device.upload("i32", [input.length], input)),
    );
    return { kind, node, call, fixed, run: ensure(device.sequences, "sequences").bind(call), joins: items.length, frees };
  }

  /** The collectives through shared memory. Undefined if the device has none. */
  shared(steps: readonly Step[]): SharedExchanges | undefined {
    const { device, mesh, grid, worker, peers } = this.options;
    if (device.shared === undefined || peers === undefined || !(this.options.share ?? true)) return undefined;
    const finishes = new Map(steps.flatMap(({ kind, node }, i): [NodeId, number][] => (kind === "finish" ? [[node.id, i]] : [])));
    return new SharedExchanges(
      { memory: device.shared, mesh, grid, worker, peers, ...(this.options.hooks === undefined ? {} : { hooks: this.options.hooks }) },
      steps.flatMap(({ kind, node }, start) =>
        kind === "start" ? [{ ...this.#collective(node), start, finish: ensure(finishes.get(node.id), "finish") }] : [],
      ),
    );
  }

  #collective(node: PlanNode): {
    node: NodeId;
    op: CollectiveName;
    kind: "sum" | "max" | "min";
    collective: HostCollective;
    input: TensorType;
    output: TensorType;
  } {
    return {
      node: node.id,
      op: node.op as CollectiveName,
      kind: "kind" in node.attrs ? node.attrs.kind : "sum",
      collective: ensure(this.program.collectives.get(node.value.id), `collective ${node.value.name}`),
      input: ensure(this.plan.nodes[node.inputs[0] ?? -1], "operand").type,
      output: node.type,
    };
  }

  #exchange(node: PlanNode): Exchange {
    const { device, mesh, grid, worker, peers } = this.options;
    const { op, kind, collective, input, output } = this.#collective(node);
    return bindExchange({ device, mesh, grid, worker, peers, keep: (tensor) => this.#keep(tensor) }, op, kind, collective, input, output);
  }

  #kernel(node: PlanNode): Bound {
    return bindKernel(node.op as KernelName, this.#kernelContext(node));
  }

  /** For a parameter that nothing else uses. */
  #inPlaceKernel(node: PlanNode): Bound | undefined {
    if (!this.#isOverwritable(node.inputs[0] ?? -1)) return undefined;
    return bindInPlace(node.op as KernelName, this.#kernelContext(node));
  }

  /** Whether a node is a parameter with one use. The run decides whether the caller donates it. */
  #isOverwritable(operand: NodeId): boolean {
    const { nodes, outputs } = this.plan;
    // Every iteration of a region reads the parameter.
    const isReadByRegion = nodes.some((node) => node.inputs.includes(operand) && regionOf(node) !== undefined);
    if (nodes[operand]?.op !== "parameter" || isReadByRegion || outputs.some(({ node }) => node === operand)) return false;
    return nodes.reduce((count, { inputs }) => count + inputs.filter((id) => id === operand).length, 0) === 1;
  }

  /** The op of a node, or of the array that it is a view of. */
  #opOf(id: NodeId | undefined): OpName | undefined {
    const node = id === undefined ? undefined : this.plan.nodes[id];
    return node?.op === "reshape" ? this.#opOf(node.inputs[0]) : node?.op;
  }

  #kernelContext(node: PlanNode): KernelContext<KernelName> {
    const inputs = node.inputs.map((id) => ensure(this.plan.nodes[id], "operand"));
    return {
      device: this.options.device,
      attrs: node.attrs,
      inputs: inputs.map(({ type }, i) => ({ ...type, dims: node.operandDims?.[i] ?? type.dims })),
      output: node.type,
      fewRows: this.plan.fewRows,
      leftOp: this.#opOf(node.inputs[0]),
      // Without bf16 matmuls, separate nodes round the operands, once for all matmuls that share them.
      numerics: this.options.device.hasBf16Matmul ? this.options.numerics : "f32",
      inputPlacements: inputs.map((input, i) => this.#placementOf(node, i, input.type)),
      outputPlacement: this.#placementOf(node, undefined, node.type),
      keep: (tensor: DeviceTensor) => this.#keep(tensor),
    } as KernelContext<KernelName>;
  }

  /** The placement of an operand (or of the result) of an op. Only ops that use it compute it. */
  #placementOf(node: PlanNode, operand: number | undefined, type: TensorType): Placement {
    const { mesh, grid, worker } = this.options;
    const { graph } = this.program;
    if (!ops[node.op].placed) return wholePlacement(type.dims);
    const value = operand === undefined ? node.value : ensure(graph.values[node.value.inputs[operand] ?? -1], "operand");
    const sharding = ensure(value.sharding, `sharding of ${value.name}`);
    const dims = value.type.dims.map(
      (size, d) =>
        size *
        atomsSize(
          mesh,
          (sharding.dims[d] ?? []).filter((id) => grid.atoms.includes(id)),
        ),
    );
    return blockPlacement({ mesh, grid, worker, dims, sharding });
  }

  #keep(tensor: DeviceTensor): DeviceTensor {
    this.kept.push(tensor);
    return tensor;
  }
}
