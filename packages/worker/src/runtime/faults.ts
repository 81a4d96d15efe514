import type { FrameTamper } from "@lapidary/fabric";
import type { CollectiveName } from "@lapidary/ir";
import {
  type Clock,
  type FailpointAction,
  type FailpointDamage,
  type FailpointName,
  type Failpoints,
  failpointActions,
  failpointDamages,
} from "@lapidary/std";

/** A place in the order of a program, as the executor tells it. */
export interface Place {
  readonly kind: string;
  readonly node: { readonly id: number; readonly op: string };
}

const points = [
  "forward",
  "backward-middle",
  "reduce-scatter-chunk-sent",
  "reduce-scatter-chunk-received",
  "all-gather-chunk-sent",
  "all-gather-chunk-received",
] as const satisfies readonly FailpointName[];

/** What a message is damaged at, by the collective that sends it. */
const damagePoints: Readonly<Partial<Record<CollectiveName, readonly FailpointName[]>>> = {
  reduce_scatter: ["reduce-scatter-chunk-sent"],
  all_gather: ["all-gather-chunk-sent"],
  all_reduce: ["reduce-scatter-chunk-sent", "all-gather-chunk-sent"],
};

const endings: readonly FailpointAction[] = failpointActions.filter((action) => !failpointDamages.some((damage) => damage === action));

/**
 * Where a worker may be made to fail inside of a step. The executor knows nothing of it: it looks at the clock behind each kernel and each collective, and
 * this is the clock that it is given when failpoints are armed. Only whether a message is damaged on its way does it ask, as it sends it.
 */
export class StepFaults {
  readonly #failpoints: Failpoints;
  readonly #worker: number;
  #step = 0;
  #looks = 0;
  #places = new Map<number, FailpointName[]>();
  /** What becomes of the next payload that goes to a peer. */
  #next: FailpointDamage | undefined;
  /** Waits for the frame that is to come before it, or right behind what is left of it. */
  #held: { readonly parts: readonly Uint8Array[]; readonly damage: FailpointDamage } | undefined;

  constructor(failpoints: Failpoints, worker: number) {
    this.#failpoints = failpoints;
    this.#worker = worker;
  }

  /**
   * A step begins.
   *
   * @param step from 1
   * @param order of its program
   */
  begin(step: number, order: readonly Place[]): void {
    [this.#step, this.#looks] = [step, 0];
    this.#places = new Map();
    for (const point of points) {
      const at = placeOf(point, order);
      if (at !== undefined) this.#places.set(at, [...(this.#places.get(at) ?? []), point]);
    }
  }

  end(): void {
    this.#step = 0;
  }

  /**
   * Whether the message that a collective is about to send is to be damaged on its way. Through shared memory the executor flips a bit of it; a socket's frames
   * pass `tamper`, which does the other damages too.
   */
  damages(op: CollectiveName, way: "memory" | "socket"): boolean {
    if (this.#step === 0) return false;
    const possible: readonly FailpointDamage[] = way === "socket" ? failpointDamages : ["corrupt"];
    const damage = possible.find((one) =>
      (damagePoints[op] ?? []).some((point) => this.#failpoints.hit(point, this.#step, this.#worker, [one])),
    );
    if (way === "socket" && damage !== undefined) this.#next = damage;
    return damage !== undefined;
  }

  /** Changes the frames to peers on their way out. */
  readonly tamper: FrameTamper = (parts) => {
    const [head, payload, ...more] = parts;
    if (head === undefined || payload === undefined) return parts;
    const held = this.#held;
    if (held !== undefined) {
      this.#held = undefined;
      return held.damage === "swap" ? [...parts, ...held.parts] : [...held.parts, ...parts];
    }
    const damage = this.#next;
    this.#next = undefined;
    switch (damage) {
      case undefined:
        return parts;
      case "corrupt": {
        const damaged = payload.slice();
        const middle = damaged.length >> 1;
        damaged[middle] = (damaged[middle] ?? 0) ^ 8;
        return [head, damaged, ...more];
      }
      case "repeat":
        return [...parts, ...parts];
      case "tear":
      case "swap":
        this.#held = { damage, parts: damage === "swap" ? parts : [head, payload.subarray(0, payload.length >> 1)] };
        return [];
    }
  };

  clock(clock: Clock): Clock {
    return {
      now: () => clock.now(),
      ...(clock.machine === undefined ? {} : { machine: () => clock.machine?.() ?? 0 }),
      monotonic: () => {
        // The executor looks twice before the first kernel.
        if (this.#step > 0)
          for (const point of this.#places.get(this.#looks++ - 2) ?? []) this.#failpoints.hit(point, this.#step, this.#worker, endings);
        return clock.monotonic();
      },
    };
  }
}

/** A quarter of the order is in the forward pass, two thirds in the backward pass; an all-reduce is a reduce-scatter and an all-gather. */
function placeOf(point: (typeof points)[number], order: readonly Place[]): number | undefined {
  if (point === "forward") return Math.floor(order.length / 4);
  if (point === "backward-middle") return Math.floor((order.length * 2) / 3);
  const ops = point.startsWith("reduce-scatter") ? ["reduce_scatter", "all_reduce"] : ["all_gather", "all_reduce"];
  const sent = order.findIndex(({ kind, node }) => kind === "start" && ops.includes(node.op));
  if (sent < 0) return undefined;
  if (point.endsWith("-sent")) return sent;
  const received = order.findIndex(({ kind, node }) => kind === "finish" && node.id === order[sent]?.node.id);
  return received < 0 ? undefined : received;
}
