import type { CollectiveName } from "@lapidary/ir";
import { type Clock, type LapidaryError, ensure } from "@lapidary/std";
import type { BoundFused } from "../device/fused-op.js";
import type { Bound } from "../device/native-ops.js";
import type { SharedExchange } from "../device/shared-memory.js";
import type { DeviceTensor } from "../device/tfjs.js";
import type { FusedCall } from "../fusion/index.js";
import type { BoundSequence } from "../device/sequence-op.js";
import type { SequenceCall } from "../sequence/encode.js";
import type { StepItem } from "../sequence/find-sequences.js";
import type { Loop } from "../plan/loops.js";
import type { NodeId, PlanNode } from "../plan/plan.js";
import type { Exchange } from "./exchange.js";
import { type Held, kernelError } from "./executor.js";
import type { ExecutionHooks } from "./hooks.js";

/** What happens at one item of the schedule. `frees` are not used after it; parameters among them are freed only if donated. */
export type Step =
  | {
      readonly kind: "fused";
      readonly node: PlanNode;
      readonly call: FusedCall;
      readonly run: BoundFused;
      readonly frees: readonly NodeId[];
    }
  | {
      readonly kind: "kernel";
      readonly node: PlanNode;
      readonly run: Bound;
      /** Overwrites the first operand, which nothing uses afterwards. */
      readonly inPlace: Bound | undefined;
      readonly isGemm: boolean;
      readonly frees: readonly NodeId[];
    }
  | {
      readonly kind: "sequence";
      readonly node: PlanNode;
      readonly call: SequenceCall;
      /** By operand: the tensor of the integers that are the same in every run. */
      readonly fixed: readonly (DeviceTensor | undefined)[];
      readonly run: BoundSequence;
      /** Kernels that it joins. */
      readonly joins: number;
      readonly frees: readonly NodeId[];
    }
  | {
      readonly kind: "start";
      readonly node: PlanNode;
      readonly op: CollectiveName;
      readonly run: Exchange;
      readonly frees: readonly NodeId[];
    }
  | { readonly kind: "finish"; readonly node: PlanNode; readonly frees: readonly NodeId[] };

type StepOf<K extends Step["kind"]> = Extract<Step, { readonly kind: K }>;

/** A loop of the steps. `frees` are not used after its last iteration. */
export interface BoundLoop extends Loop {
  readonly frees: readonly NodeId[];
}

/** The indices of `steps` steps in the order of execution. */
export function callOrder(steps: number, loops: readonly BoundLoop[]): number[] {
  const order: number[] = [];
  for (let i = 0; i < steps; i++) {
    order.push(i);
    const loop = loops.find(({ last }) => last === i);
    for (let iteration = 1; iteration < (loop?.count ?? 1); iteration++) for (let at = loop?.first ?? i; at <= i; at++) order.push(at);
  }
  return order;
}

/** What the runs of one program have in common. */
export interface RunContext {
  readonly steps: readonly Step[];
  readonly loops: readonly BoundLoop[];
  /** The item of each step. */
  readonly schedule: readonly StepItem[];
  /** By node: tensors that are the same in every run. */
  readonly constants: readonly (DeviceTensor | undefined)[];
  readonly parameterNodes: readonly NodeId[];
  /** Tensors whose memory no other tensor shares. */
  readonly exclusive: WeakSet<DeviceTensor>;
  readonly clock: Clock;
  readonly hooks: ExecutionHooks | undefined;
  /** Collectives through shared memory; the others go through sockets. */
  readonly links: ReadonlyMap<NodeId, SharedExchange> | undefined;
  /** Why the links receive nothing more, if the worker group has failed. */
  readonly failure: () => LapidaryError | undefined;
  /** By step, milliseconds over all runs. A run adds its own. */
  readonly times_ms: Float64Array;
}

/** Receives the clock at the start and the end of a step, and how long the step waited for other workers. */
export type OnStep = (start: number, end: number, wait_ms: number) => void;

/** The run polls this long for a message that is about to arrive. After that, it lets the event loop run between polls. */
const [firstWait_us, laterWait_us] = [30, 1000];
/** A run lets the event loop run at a collective if it has not done so for this long. */
const yieldEvery_ms = 50;
const eventLoopTick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** One run of a program: its tensors, and the collectives that are in flight. */
export class StackedRun {
  readonly #context: RunContext;
  readonly #tag: string;
  /** By node. */
  readonly #slots: (DeviceTensor | undefined)[];
  /** Parameters that the caller keeps. */
  readonly #given = new Set<NodeId>();
  /** Started collectives that go through sockets. */
  readonly #pending = new Map<NodeId, Promise<DeviceTensor>>();
  /** The iteration of the current loop, from 0. */
  #iteration = 0;
  /** From the second iteration on: by carry, the yield that has its value. */
  readonly #carried = new Map<NodeId, NodeId>();
  #wait_ms = 0;
  /** The clock at the end of the last step or wait. */
  #now: number;
  #lastTick: number;

  constructor(context: RunContext, tag: string, inputs: readonly Held[], donated: readonly boolean[]) {
    this.#context = context;
    this.#tag = tag;
    this.#slots = context.constants.slice();
    context.parameterNodes.forEach((node, i) => {
      this.#slots[node] = ensure(inputs[i]?.[0], "input");
      if (donated[i] !== true) this.#given.add(node);
    });
    this.#now = context.clock.monotonic();
    this.#lastTick = this.#now;
  }

  /** Time for which the run waited for other workers. */
  get wait_ms(): number {
    return this.#wait_ms;
  }

  /** Runs all steps. */
  async execute(onStep?: OnStep): Promise<void> {
    const { steps, loops, schedule, hooks } = this.#context;
    let nextLoop = 0;
    let current: PlanNode | undefined;
    try {
      // By index: an iterator of entries would be most of the garbage of a short run.
      for (let i = 0; i < steps.length; i++) {
        const step = steps[i] as Step;
        current = step.node;
        const start = this.#now;
        const item = schedule[i] as StepItem;
        hooks?.before(item);
        const waiting = this.#perform(step);
        // A step that need not wait does not leave this task.
        if (waiting !== undefined) await waiting;
        this.#free(step.frees);
        const computedFrom = this.#now;
        this.#endStep(i);
        hooks?.after(item);
        onStep?.(start, this.#now, computedFrom - start);
        const loop = loops[nextLoop];
        if (loop?.last !== i) continue;
        if (this.#isRepeated(loop)) i = loop.first - 1;
        else nextLoop++;
      }
    } catch (error) {
      this.#abandon();
      throw kernelError(error, current?.op ?? "run", current?.value.name ?? "");
    }
    // A donated input that nothing uses is consumed all the same.
    for (const node of this.#context.parameterNodes) if (!this.#given.has(node)) this.#slots[node]?.dispose();
  }

  output(node: NodeId): Held {
    return [ensure(this.#slots[node], "output")];
  }

  /** @returns undefined if the step has ended, and otherwise a promise of its end */
  #perform(step: Step): Promise<void> | undefined {
    switch (step.kind) {
      case "fused":
        this.#runFused(step);
        return undefined;
      case "kernel":
        this.#runKernel(step);
        return undefined;
      case "sequence":
        this.#runSequence(step);
        return undefined;
      case "start":
        return this.#start(step);
      case "finish":
        return this.#finish(step);
    }
  }

  /** At the end of an iteration: whether another follows. After the last, the values that only the loop uses are freed. */
  #isRepeated({ count, carried, frees }: BoundLoop): boolean {
    this.#iteration++;
    if (this.#iteration < count) {
      for (const { carry, yielded } of carried) this.#carried.set(carry, yielded);
      return true;
    }
    this.#iteration = 0;
    this.#carried.clear();
    this.#free(frees);
    return false;
  }

  #runKernel({ node, run, inPlace }: StepOf<"kernel">): void {
    const yielded = this.#carried.get(node.id);
    if (yielded !== undefined) {
      this.#slots[node.id] = this.#slots[yielded];
      this.#slots[yielded] = undefined;
      return;
    }
    const operands = node.inputs.map((input) => this.#slots[input] as DeviceTensor);
    this.#slots[node.id] = (inPlace !== undefined && this.#mayOverwrite(node.inputs[0] as NodeId) ? inPlace : run)(operands);
  }

  /** Whether a parameter is donated, and its memory its own. */
  #mayOverwrite(parameter: NodeId): boolean {
    return !this.#given.has(parameter) && this.#context.exclusive.has(this.#slots[parameter] as DeviceTensor);
  }

  #runFused({ call, run }: StepOf<"fused">): void {
    const results = run(call.inputs.map((input) => this.#slots[input] as DeviceTensor));
    call.outputs.forEach((output, k) => {
      this.#slots[output] = results[k];
    });
  }

  #runSequence({ call, fixed, run }: StepOf<"sequence">): void {
    const operands = call.inputs.map((input, i) => (typeof input === "number" ? this.#slots[input] : fixed[i]) as DeviceTensor);
    const results = run(
      operands,
      call.overwritten.every((parameter) => this.#mayOverwrite(parameter)),
    );
    call.outputs.forEach((output, k) => {
      this.#slots[output] = results[k];
    });
  }

  #start({ node, run }: StepOf<"start">): Promise<void> | undefined {
    const input = this.#slots[node.inputs[0] as NodeId] as DeviceTensor;
    const link = this.#context.links?.get(node.id);
    if (link === undefined) {
      const exchange = run(input, `${this.#tag}/${node.id}${this.#iteration === 0 ? "" : `/${this.#iteration}`}`);
      // The step that finishes the collective reports its failure. Until then the rejection counts as handled.
      exchange.catch(() => undefined);
      this.#pending.set(node.id, exchange);
      return undefined;
    }
    if (!link.canSend(firstWait_us)) return this.#untilReady(link.canSend).then(() => link.send(input));
    link.send(input);
    return undefined;
  }

  #finish({ node }: StepOf<"finish">): Promise<void> | undefined {
    const link = this.#context.links?.get(node.id);
    const before = this.#context.clock.monotonic();
    if (link === undefined) return this.#finishPending(node.id, before);
    const waiting = link.canReceive(firstWait_us) ? this.#yieldIfDue(before) : this.#untilReady(link.canReceive);
    if (waiting !== undefined) return waiting.then(() => this.#receive(node.id, link, before));
    this.#receive(node.id, link, before);
    return undefined;
  }

  async #finishPending(id: NodeId, before: number): Promise<void> {
    this.#slots[id] = await ensure(this.#pending.get(id), "started collective");
    this.#endWait(before);
    this.#pending.delete(id);
  }

  #receive(id: NodeId, link: SharedExchange, before: number): void {
    this.#endWait(before);
    this.#slots[id] = link.receive();
  }

  #endWait(before: number): void {
    const waited = this.#context.clock.monotonic() - before;
    this.#wait_ms += waited;
    this.#now += waited;
  }

  #endStep(i: number): void {
    const before = this.#now;
    const { clock, times_ms } = this.#context;
    this.#now = clock.monotonic();
    times_ms[i] = (times_ms[i] ?? 0) + this.#now - before;
  }

  #free(nodes: readonly NodeId[]): void {
    for (const node of nodes) {
      if (this.#given.has(node)) continue;
      this.#slots[node]?.dispose();
      this.#slots[node] = undefined;
    }
  }

  #yieldIfDue(now: number): Promise<void> | undefined {
    if (now - this.#lastTick <= yieldEvery_ms) return undefined;
    return eventLoopTick().then(() => {
      this.#lastTick = this.#context.clock.monotonic();
    });
  }

  /** Waits for other workers. The event loop runs meanwhile, because it reports that a worker has left. */
  async #untilReady(isReady: (timeout_us: number) => boolean): Promise<void> {
    do {
      await eventLoopTick();
      const failure = this.#context.failure();
      if (failure !== undefined) throw failure;
    } while (!isReady(laterWait_us));
  }

  /** Frees the tensors of the run. */
  #abandon(): void {
    for (const exchange of this.#pending.values())
      void exchange.then(
        (tensor) => tensor.dispose(),
        () => undefined,
      );
    this.#slots.forEach((tensor, node) => {
      if (tensor !== this.#context.constants[node] && !this.#given.has(node)) tensor?.dispose();
    });
  }
}
