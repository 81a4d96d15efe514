import { assert, ensure } from "@lapidary/std";
import type { KernelCost } from "../cost/kernel-cost.js";
import type { Resource, Stage } from "../network/transfer.js";
import type { ChipClass } from "./chip-classes.js";
import type { StepList, TransferId } from "./step-list.js";

/** Kernels, waits and transfers of one chip, in seconds from the start of the step. */
export interface Timeline {
  readonly seconds: number;
  readonly kernels: readonly KernelSpan[];
  readonly waits: readonly WaitSpan[];
  readonly transfers: readonly TransferSpan[];
}

interface KernelSpan {
  readonly kernel: KernelCost;
  readonly from: number;
  readonly to: number;
}

/** The core waits until a transfer has ended. */
interface WaitSpan {
  readonly transfer: TransferId;
  readonly from: number;
  readonly to: number;
}

export interface TransferSpan {
  readonly transfer: TransferId;
  /** Time at which this chip issued it. */
  readonly issued: number;
  /** Time at which the core used the result; undefined if it does not use it. */
  readonly done: number | undefined;
  readonly stages: readonly { readonly stage: Stage; readonly from: number; readonly to: number }[];
}

/** A picosecond. Shorter remainders are rounding errors. */
const timeTolerance = 1e-12;

export interface TimelineOptions {
  /** Share of its speed that a core loses while all its links are busy. */
  readonly overlapLoss: number;
  /** Dims of the torus that the slice uses. */
  readonly dims: number;
}

interface Core {
  readonly chips: ChipClass;
  step: number;
  /** Remaining seconds of the kernel, at full speed. */
  left: number;
  begun: number;
  waiting: TransferId | undefined;
  readonly kernels: KernelSpan[];
  readonly waits: WaitSpan[];
  readonly issued: Map<TransferId, number>;
  readonly passed: Map<TransferId, number>;
  readonly ended: Set<TransferId>;
  /** By transfer that all chips of the group have issued: its flow. */
  readonly flows: Map<TransferId, Flow>;
}

/** The execution of a transfer by one group. All cores of the group have issued it. */
interface Flow {
  readonly transfer: TransferId;
  readonly cores: readonly Core[];
  stage: number;
  /** The resources of the current stage. */
  resources: readonly Resource[];
  /** Remaining seconds of the stage at its full rate. */
  left: number;
  latencyLeft: number;
  begun: number;
  readonly spans: { stage: Stage; from: number; to: number }[];
}

/**
 * Event simulation of one step, with one core for every class of chips.
 *
 *     core      ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░░░▓▓▓▓▓     ▓ kernels in order, slower while links are busy   ░ waits for a transfer
 *     ici0         ├── gather ──┤                a transfer begins when all its chips have issued it;
 *     ici1         ├── gather ──┤├─ reduce ─┤    each of n transfers on one link has 1/n of its rate
 *
 * Invariants: a core runs one kernel at a time, in order; every transfer moves exactly its bytes; the slowest resource of its chips
 * limits the rate of a transfer.
 */
export function runTimeline(list: StepList, classes: readonly ChipClass[], options: TimelineOptions): Timeline[] {
  return new StepSimulation(list, classes, options).run();
}

const makeCore = (chips: ChipClass): Core => ({
  chips,
  step: 0,
  left: 0,
  begun: 0,
  waiting: undefined,
  kernels: [],
  waits: [],
  issued: new Map(),
  passed: new Map(),
  ended: new Set(),
  flows: new Map(),
});

class StepSimulation {
  readonly #list: StepList;
  readonly #options: TimelineOptions;
  readonly #cores: readonly Core[];
  /** The flows that move data. */
  readonly #flows = new Set<Flow>();
  /** By transfer: the flows that wait for it to end. */
  readonly #waitingFlows = new Map<TransferId, Set<Flow>>();
  #now = 0;

  constructor(list: StepList, classes: readonly ChipClass[], options: TimelineOptions) {
    this.#list = list;
    this.#options = options;
    this.#cores = classes.map(makeCore);
  }

  run(): Timeline[] {
    const { length } = this.#list.steps;
    for (const core of this.#cores) this.#advance(core);
    while (this.#runToNextEvent());
    for (const core of this.#cores)
      assert(core.step === length && core.waiting === undefined, "every core has run all its steps", core.step, length);
    return this.#cores.map((core) => this.#timelineOf(core));
  }

  /** Advances the time to the next end of a kernel or of a stage, and starts the next steps. Returns whether there was such an event. */
  #runToNextEvent(): boolean {
    const rates = flowRates(this.#flows);
    const speeds = this.#cores.map((core) => 1 - this.#options.overlapLoss * linkUse(core, rates, this.#options.dims));
    const seconds = this.#secondsToNextEvent(rates, speeds);
    if (seconds === Infinity) return false;
    this.#now += seconds;
    const finished = this.#cores.filter((core, i) => core.left > 0 && computeFor(core, seconds * ensure(speeds[i], "speed")));
    const moved = [...rates].filter(([flow, rate]) => moveFor(flow, seconds, rate));
    for (const [flow] of moved) this.#endStage(flow);
    for (const core of finished) this.#endKernel(core);
    return true;
  }

  #secondsToNextEvent(rates: ReadonlyMap<Flow, number>, speeds: readonly number[]): number {
    let next = Infinity;
    this.#cores.forEach((core, i) => {
      if (core.left > 0) next = Math.min(next, core.left / ensure(speeds[i], "speed"));
    });
    for (const [flow, rate] of rates) next = Math.min(next, flow.left > 0 ? flow.left / rate : flow.latencyLeft);
    return next;
  }

  #endKernel(core: Core): void {
    const step = ensure(this.#list.steps[core.step], "step");
    assert(step.kind === "run", "a core runs kernels", step.kind);
    core.left = 0;
    core.kernels.push({ kernel: step.kernel, from: core.begun, to: this.#now });
    core.step++;
    this.#advance(core);
  }

  /** Runs the steps of a core that take no time, up to the next that does. */
  #advance(core: Core): void {
    for (; core.step < this.#list.steps.length; core.step++) {
      const step = ensure(this.#list.steps[core.step], "step");
      if (step.kind === "start") this.#issue(core, step.transfer);
      else if (step.kind === "run") {
        if (step.kernel.seconds === 0) continue;
        core.left = step.kernel.seconds * core.chips.slowdown;
        core.begun = this.#now;
        return;
      } else if (!core.ended.has(step.transfer)) {
        core.waiting = step.transfer;
        core.begun = this.#now;
        core.step++;
        return;
      } else core.passed.set(step.transfer, this.#now);
    }
  }

  #issue(core: Core, id: TransferId): void {
    const transfer = ensure(this.#list.transfers[id], "transfer");
    core.issued.set(id, this.#now);
    const group = core.chips.groups(transfer.atoms).map((member) => ensure(this.#cores[member], "core"));
    if (!group.every((member) => member.issued.has(id))) return;
    const flow: Flow = { transfer: id, cores: group, stage: 0, resources: [], left: 0, latencyLeft: 0, begun: this.#now, spans: [] };
    for (const member of group) member.flows.set(id, flow);
    this.#tryStart(flow);
  }

  /** Starts a flow, unless it must wait for another transfer of one of its cores. */
  #tryStart(flow: Flow): void {
    const { after } = ensure(this.#list.transfers[flow.transfer], "transfer");
    if (after !== undefined && !flow.cores.every((core) => core.ended.has(after))) {
      this.#waitingFlows.set(after, (this.#waitingFlows.get(after) ?? new Set()).add(flow));
      return;
    }
    if (after !== undefined) this.#waitingFlows.get(after)?.delete(flow);
    this.#flows.add(flow);
    this.#startStage(flow);
  }

  #startStage(flow: Flow): void {
    const stage = this.#list.transfers[flow.transfer]?.stages[flow.stage];
    if (stage === undefined) {
      this.#flows.delete(flow);
      for (const core of flow.cores) this.#endTransfer(core, flow.transfer);
      return;
    }
    flow.resources = stage.resources;
    flow.left = stage.seconds;
    flow.latencyLeft = stage.latency;
    flow.begun = this.#now;
  }

  #endStage(flow: Flow): void {
    const stage = ensure(this.#list.transfers[flow.transfer]?.stages[flow.stage], "stage");
    flow.spans.push({ stage, from: flow.begun, to: this.#now });
    flow.stage++;
    this.#startStage(flow);
  }

  #endTransfer(core: Core, transfer: TransferId): void {
    core.ended.add(transfer);
    for (const flow of this.#waitingFlows.get(transfer) ?? []) this.#tryStart(flow);
    if (core.waiting === transfer) {
      core.waits.push({ transfer, from: core.begun, to: this.#now });
      core.waiting = undefined;
      core.passed.set(transfer, this.#now);
      this.#advance(core);
    }
  }

  #timelineOf(core: Core): Timeline {
    return {
      seconds: this.#now,
      kernels: core.kernels,
      waits: core.waits.filter(({ from, to }) => to > from),
      transfers: [...core.issued].map(([transfer, issued]) => ({
        transfer,
        issued,
        done: core.passed.get(transfer),
        stages: core.flows.get(transfer)?.spans ?? [],
      })),
    };
  }
}

/** Subtracts seconds at full speed from a core's kernel. Returns whether the kernel has ended. */
function computeFor(core: Core, seconds: number): boolean {
  core.left -= seconds;
  return core.left <= timeTolerance;
}

/** Advances a flow. Returns whether its stage has ended. */
function moveFor(flow: Flow, seconds: number, rate: number): boolean {
  flow.left = flow.left - seconds * rate <= timeTolerance ? 0 : flow.left - seconds * rate;
  flow.latencyLeft = flow.latencyLeft - seconds <= timeTolerance ? 0 : flow.latencyLeft - seconds;
  return flow.left === 0 && flow.latencyLeft === 0;
}

/**
 * The share of its full rate that each transfer has. Each of n transfers on one resource has 1/n of it, and the slowest resource of
 * the slowest chip decides. A transfer that only waits for its latency uses no links.
 */
function flowRates(flows: ReadonlySet<Flow>): Map<Flow, number> {
  const users = new Map<string, number>();
  const key = (core: Core, resource: Resource): string => `${core.chips.id} ${resource}`;
  for (const flow of flows)
    if (flow.left > 0)
      for (const core of flow.cores)
        for (const resource of flow.resources) users.set(key(core, resource), (users.get(key(core, resource)) ?? 0) + 1);
  const rates = new Map<Flow, number>();
  for (const flow of flows) {
    let rate = 1;
    if (flow.left > 0)
      for (const core of flow.cores)
        for (const resource of flow.resources)
          rate = Math.min(rate, core.chips.linkFactor(resource) / ensure(users.get(key(core, resource)), "users"));
    rates.set(flow, rate);
  }
  return rates;
}

/** Share of a core's links, over all dims of the torus, that move data. */
function linkUse(core: Core, rates: ReadonlyMap<Flow, number>, dims: number): number {
  let use = 0;
  for (const [flow, rate] of rates)
    if (flow.left > 0 && flow.cores.includes(core))
      use += (rate * flow.resources.filter((resource) => resource.startsWith("ici")).length) / dims;
  return Math.min(1, use);
}
