import { assert, must } from "@lapidary/std";
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

export interface KernelSpan {
  readonly kernel: KernelCost;
  readonly from: number;
  readonly to: number;
}

/** The core stands still until a transfer has ended. */
export interface WaitSpan {
  readonly transfer: TransferId;
  readonly from: number;
  readonly to: number;
}

export interface TransferSpan {
  readonly transfer: TransferId;
  /** When this chip has issued it. */
  readonly issued: number;
  /** When the core has passed the place where it needs the result; undefined where it never does. */
  readonly done: number | undefined;
  readonly stages: readonly { readonly stage: Stage; readonly from: number; readonly to: number }[];
}

/** A picosecond: what rounding may leave. */
const instant = 1e-12;

export interface TimelineOptions {
  /** Share of its speed that a core loses while all its links are busy. */
  readonly overlapLoss: number;
  /** Dims of the torus that the slice uses. */
  readonly dims: number;
}

interface Core {
  readonly chips: ChipClass;
  step: number;
  /** Seconds of the kernel that are left, at full speed. */
  left: number;
  begun: number;
  waiting: TransferId | undefined;
  readonly kernels: KernelSpan[];
  readonly waits: WaitSpan[];
  readonly issued: Map<TransferId, number>;
  readonly passed: Map<TransferId, number>;
}

/** One group's run of a transfer; all its cores have issued it. */
interface Flow {
  readonly transfer: TransferId;
  readonly cores: readonly Core[];
  stage: number;
  /** What it occupies now. */
  resources: readonly Resource[];
  /** Seconds of the stage that are left, alone. */
  left: number;
  latencyLeft: number;
  begun: number;
  readonly spans: { stage: Stage; from: number; to: number }[];
}

/**
 * Event simulation of one step, one core for every class of chips that behave alike.
 *
 *     core      ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░░░▓▓▓▓▓     ▓ kernels in order, slower while links are busy   ░ waits for a transfer
 *     ici0         ├── gather ──┤                a transfer begins when all its chips have issued it;
 *     ici1         ├── gather ──┤├─ reduce ─┤    n on one link go at 1/n of its rate each
 *
 * Invariants: a kernel runs on one core at a time and in order; every transfer moves exactly its bytes; a transfer goes at the rate of the slowest resource of its chips.
 */
export function runTimeline(list: StepList, classes: readonly ChipClass[], options: TimelineOptions): Timeline[] {
  const cores: Core[] = classes.map((chips) => ({
    chips,
    step: 0,
    left: 0,
    begun: 0,
    waiting: undefined,
    kernels: [],
    waits: [],
    issued: new Map(),
    passed: new Map(),
  }));
  const flows = new Set<Flow>();
  const ended = cores.map(() => new Set<TransferId>());
  const spans = cores.map(() => new Map<TransferId, Flow>());
  const held = new Map<TransferId, Set<Flow>>();
  let now = 0;

  const beginStage = (flow: Flow): void => {
    const stage = list.transfers[flow.transfer]?.stages[flow.stage];
    if (stage === undefined) {
      flows.delete(flow);
      for (const core of flow.cores) end(core, flow.transfer);
      return;
    }
    flow.resources = stage.resources;
    flow.left = stage.seconds;
    flow.latencyLeft = stage.latency;
    flow.begun = now;
  };

  const end = (core: Core, transfer: TransferId): void => {
    must(ended[core.chips.id], "core").add(transfer);
    for (const flow of held.get(transfer) ?? []) tryBegin(flow);
    if (core.waiting === transfer) {
      core.waits.push({ transfer, from: core.begun, to: now });
      core.waiting = undefined;
      core.passed.set(transfer, now);
      advance(core);
    }
  };

  const tryBegin = (flow: Flow): void => {
    const { after } = must(list.transfers[flow.transfer], "transfer");
    if (after !== undefined && !flow.cores.every((core) => ended[core.chips.id]?.has(after))) {
      held.set(after, (held.get(after) ?? new Set()).add(flow));
      return;
    }
    if (after !== undefined) held.get(after)?.delete(flow);
    flows.add(flow);
    beginStage(flow);
  };

  const issue = (core: Core, id: TransferId): void => {
    const transfer = must(list.transfers[id], "transfer");
    core.issued.set(id, now);
    const group = core.chips.groups(transfer.atoms).map((member) => must(cores[member], "core"));
    if (!group.every((member) => member.issued.has(id))) return;
    const flow: Flow = { transfer: id, cores: group, stage: 0, resources: [], left: 0, latencyLeft: 0, begun: now, spans: [] };
    for (const member of group) spans[member.chips.id]?.set(id, flow);
    tryBegin(flow);
  };

  /** Steps of a core that take no time, up to the next that does. */
  const advance = (core: Core): void => {
    for (; core.step < list.steps.length; core.step++) {
      const step = must(list.steps[core.step], "step");
      if (step.kind === "start") issue(core, step.transfer);
      else if (step.kind === "run") {
        if (step.kernel.seconds === 0) continue;
        core.left = step.kernel.seconds * core.chips.slowdown;
        core.begun = now;
        return;
      } else if (!must(ended[core.chips.id], "core").has(step.transfer)) {
        core.waiting = step.transfer;
        core.begun = now;
        core.step++;
        return;
      } else core.passed.set(step.transfer, now);
    }
  };

  for (const core of cores) advance(core);
  for (;;) {
    const rates = flowRates(flows);
    const speeds = cores.map((core) => 1 - options.overlapLoss * linkUse(core, rates, options.dims));
    let next = Infinity;
    cores.forEach((core, i) => {
      if (core.left > 0) next = Math.min(next, core.left / must(speeds[i], "speed"));
    });
    for (const [flow, rate] of rates) next = Math.min(next, flow.left > 0 ? flow.left / rate : flow.latencyLeft);
    if (next === Infinity) break;

    now += next;
    const finished: Core[] = [];
    const moved: Flow[] = [];
    cores.forEach((core, i) => {
      if (core.left === 0) return;
      core.left -= next * must(speeds[i], "speed");
      if (core.left <= instant) finished.push(core);
    });
    for (const [flow, rate] of rates) {
      flow.left = flow.left - next * rate <= instant ? 0 : flow.left - next * rate;
      flow.latencyLeft = flow.latencyLeft - next <= instant ? 0 : flow.latencyLeft - next;
      if (flow.left === 0 && flow.latencyLeft === 0) moved.push(flow);
    }
    for (const flow of moved) {
      flow.spans.push({ stage: must(list.transfers[flow.transfer]?.stages[flow.stage], "stage"), from: flow.begun, to: now });
      flow.stage++;
      beginStage(flow);
    }
    for (const core of finished) {
      const step = must(list.steps[core.step], "step");
      assert(step.kind === "run", "a core runs kernels", step.kind);
      core.left = 0;
      core.kernels.push({ kernel: step.kernel, from: core.begun, to: now });
      core.step++;
      advance(core);
    }
  }
  for (const core of cores)
    assert(core.step === list.steps.length && core.waiting === undefined, "every core comes to its end", core.step, list.steps.length);
  return cores.map((core) => ({
    seconds: now,
    kernels: core.kernels,
    waits: core.waits.filter(({ from, to }) => to > from),
    transfers: [...core.issued].map(([transfer, issued]) => ({
      transfer,
      issued,
      done: core.passed.get(transfer),
      stages: spans[core.chips.id]?.get(transfer)?.spans ?? [],
    })),
  }));
}

/**
 * Share of its full rate at which each transfer goes: n on one resource get 1/n of it, and the slowest resource of the slowest chip tells. A transfer that only waits for its
 * last hop leaves the links to others.
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
          rate = Math.min(rate, core.chips.linkFactor(resource) / must(users.get(key(core, resource)), "users"));
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
