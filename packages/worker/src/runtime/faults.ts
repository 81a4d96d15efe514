import type { ExecutionHooks, ScheduleItem, SharedExchange } from "@lapidary/executor";
import type { FrameFault } from "@lapidary/fabric";
import type { CollectiveName } from "@lapidary/ir";
import {
  type FailpointAction,
  type FailpointDamage,
  type FailpointName,
  type Failpoints,
  failpointActions,
  failpointDamages,
} from "@lapidary/std";

/** Where in a step a failpoint fires: before or after one item of the schedule. */
export interface FiringPoint {
  readonly moment: "before" | "after";
  readonly item: ScheduleItem;
}

/** Failpoints inside a step. A schedule that has no such item has no such failpoint. */
const stepPoints = {
  forward: (schedule) => before(middleOfPass(schedule, "forward")),
  "backward-middle": (schedule) => before(middleOfPass(schedule, "backward")),
  "reduce-scatter-chunk-sent": (schedule) => after(firstCollective(schedule, "start", reducing)),
  "reduce-scatter-chunk-received": (schedule) => after(firstCollective(schedule, "finish", reducing)),
  "all-gather-chunk-sent": (schedule) => after(firstCollective(schedule, "start", gathering)),
  "all-gather-chunk-received": (schedule) => after(firstCollective(schedule, "finish", gathering)),
} as const satisfies Partial<Record<FailpointName, (schedule: readonly ScheduleItem[]) => FiringPoint | undefined>>;
export type StepPoint = keyof typeof stepPoints;
export const stepPointNames = Object.keys(stepPoints) as readonly StepPoint[];

/** An all-reduce is a reduce-scatter and an all-gather. */
const reducing: readonly string[] = ["reduce_scatter", "all_reduce"] satisfies CollectiveName[];
const gathering: readonly string[] = ["all_gather", "all_reduce"] satisfies CollectiveName[];

const before = (item: ScheduleItem | undefined): FiringPoint | undefined => (item === undefined ? undefined : { moment: "before", item });
const after = (item: ScheduleItem | undefined): FiringPoint | undefined => (item === undefined ? undefined : { moment: "after", item });

function middleOfPass(schedule: readonly ScheduleItem[], pass: "forward" | "backward"): ScheduleItem | undefined {
  const kernels = schedule.filter(({ kind, node }) => (kind === "kernel" || kind === "fused") && node.value.scope.phase === pass);
  return kernels[kernels.length >> 1];
}

const firstCollective = (schedule: readonly ScheduleItem[], kind: "start" | "finish", ops: readonly string[]): ScheduleItem | undefined =>
  schedule.find((item) => item.kind === kind && ops.includes(item.node.op));

/** The item at which a failpoint fires in a step with this schedule, and whether before or after it. */
const firingPoint = (point: StepPoint, schedule: readonly ScheduleItem[]): FiringPoint | undefined => stepPoints[point](schedule);

const damagePoints = {
  reduce: "reduce-scatter-chunk-sent",
  gather: "all-gather-chunk-sent",
} as const satisfies Record<string, FailpointName>;

/** Actions that end or stop the process or the step. The others damage a message. */
const stopActions: readonly FailpointAction[] = failpointActions.filter((action) => !failpointDamages.some((damage) => damage === action));

/**
 * The failpoints of a worker inside a step. It decorates the executor (`before`, `after`), the channels in shared memory (`link`)
 * and the frames to peers (`tamper`); none of them knows that failpoints exist.
 */
export class StepFaults implements ExecutionHooks {
  readonly #failpoints: Failpoints;
  readonly #worker: number;
  #step = 0;
  #points: readonly (FiringPoint & { readonly point: StepPoint })[] = [];
  /** The collective that has started last, until its message is sent: the message that a failpoint may damage. */
  #sending: string | undefined;
  /** A frame or its first half that is kept back until the next frame is sent. */
  #held: { readonly parts: readonly Uint8Array[]; readonly damage: FailpointDamage } | undefined;

  constructor(failpoints: Failpoints, worker: number) {
    this.#failpoints = failpoints;
    this.#worker = worker;
  }

  /**
   * A step starts.
   *
   * @param step from 1
   * @param schedule of its program; empty for an executor without hooks
   */
  begin(step: number, schedule: readonly ScheduleItem[]): void {
    this.#step = step;
    this.#sending = undefined;
    this.#points = stepPointNames.flatMap((point) => {
      const firing = firingPoint(point, schedule);
      return firing === undefined ? [] : [{ point, ...firing }];
    });
  }

  end(): void {
    this.#step = 0;
    this.#sending = undefined;
  }

  before(item: ScheduleItem): void {
    if (this.#step === 0) return;
    this.#fire("before", item);
    if (item.kind === "start") this.#sending = item.node.op;
  }

  after(item: ScheduleItem): void {
    if (this.#step > 0) this.#fire("after", item);
  }

  link(op: CollectiveName, link: SharedExchange): SharedExchange {
    return {
      ...link,
      send: (x) => (this.#sending === op && this.#damage(["corrupt"]) !== undefined ? link.sendCorrupted(x) : link.send(x)),
    };
  }

  /** Changes the frames to peers, except frames without a payload and frames outside of a collective. */
  readonly tamper: FrameFault = (parts) => {
    const [head, payload, ...more] = parts;
    if (head === undefined || payload === undefined) return parts;
    const held = this.#held;
    if (held !== undefined) {
      this.#held = undefined;
      return held.damage === "reorder" ? [...parts, ...held.parts] : [...held.parts, ...parts];
    }
    const damage = this.#damage(failpointDamages);
    switch (damage) {
      case undefined:
        return parts;
      case "corrupt": {
        const damaged = payload.slice();
        const middle = damaged.length >> 1;
        damaged[middle] = (damaged[middle] ?? 0) ^ 8;
        return [head, damaged, ...more];
      }
      case "duplicate":
        return [...parts, ...parts];
      case "truncate":
      case "reorder":
        this.#held = { damage, parts: damage === "reorder" ? parts : [head, payload.subarray(0, payload.length >> 1)] };
        return [];
    }
  };

  #fire(moment: FiringPoint["moment"], item: ScheduleItem): void {
    for (const one of this.#points)
      if (one.moment === moment && one.item === item) this.#failpoints.hit(one.point, this.#step, this.#worker, stopActions);
  }

  /** The damage that a failpoint does to the message of the collective that has just started. Only the first message of a collective is damaged. */
  #damage(possible: readonly FailpointDamage[]): FailpointDamage | undefined {
    const op = this.#sending;
    this.#sending = undefined;
    if (this.#step === 0 || op === undefined) return undefined;
    const points = [...(reducing.includes(op) ? [damagePoints.reduce] : []), ...(gathering.includes(op) ? [damagePoints.gather] : [])];
    return possible.find((damage) => points.some((point) => this.#failpoints.hit(point, this.#step, this.#worker, [damage])));
  }
}
