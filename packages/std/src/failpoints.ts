import { LapidaryError } from "./errors.js";
import { suggest } from "./suggest.js";

/**
 * Points at which a test makes a process fail. They are part of every build, but inactive. The entry point of a process activates the
 * failpoints in `LAPIDARY_FAILPOINTS`.
 *
 *     LAPIDARY_FAILPOINTS="before-vote@4,1:kill;shard-synced@8,c:throw*2"
 *                          └ where     │ │ └ action                   └ count; 1 by default
 *                                      │ └ a worker of the group, `c` the coordinator, `*` any process
 *                                      └ the step, from 1; `4+` from 4 on; `*` any
 */
export const failpointNames = [
  "plan-received",
  "forward",
  "backward-middle",
  "reduce-scatter-chunk-sent",
  "reduce-scatter-chunk-received",
  "all-gather-chunk-sent",
  "all-gather-chunk-received",
  "before-vote",
  "after-vote",
  "before-commit",
  "after-commit",
  "mid-apply",
  "after-apply",
  "after-inference",
  "snapshot-copy",
  "shard-half-written",
  "shard-synced",
  "before-manifest",
  "after-manifest",
  "before-unit",
  "after-unit",
] as const;
export type FailpointName = (typeof failpointNames)[number];

/** The damage to a message: a bit is flipped, its end is lost, it is sent twice, or the next message is sent before it. */
export const failpointDamages = ["corrupt", "truncate", "duplicate", "reorder"] as const;
export type FailpointDamage = (typeof failpointDamages)[number];
export const failpointActions = ["kill", "suspend", "hang", "throw", ...failpointDamages] as const;
export type FailpointAction = (typeof failpointActions)[number];

/** Former names of actions. They are still accepted. */
const renamedActions: Readonly<Record<string, FailpointAction>> = {
  stop: "suspend",
  tear: "truncate",
  repeat: "duplicate",
  swap: "reorder",
};

/** The action of a name or a former name. */
export function failpointAction(name: string): FailpointAction | undefined {
  return failpointActions.find((action) => action === name) ?? (Object.hasOwn(renamedActions, name) ? renamedActions[name] : undefined);
}

export interface Failpoint {
  readonly name: FailpointName;
  /** The first step, and the last. */
  readonly steps: readonly [number, number];
  readonly target: number | "c" | "*";
  readonly action: FailpointAction;
  readonly times: number;
  /** The text of the failpoint. */
  readonly text: string;
}

/** The effects of failpoints on a process; its entry point passes them in. */
export interface FailpointEffects {
  /** Kills this process, as `kill -9`. */
  kill(): void;
  /** Suspends this process, as SIGSTOP does. */
  suspend(): void;
  /** Blocks this thread forever, while the process continues to exist. */
  hang(): void;
  /** Counts a firing over all processes of the test: false if the failpoint has reached its count. */
  claim(point: Failpoint): boolean;
}

/** A failpoint that fired: its name, the step and the process. */
export interface FailpointFiring {
  readonly site: FailpointName;
  /** From 1. */
  readonly step: number;
  /** A worker of the worker group, or `c` for the coordinator. */
  readonly target: number | "c";
  readonly action: FailpointAction;
}

/** The failpoints of one process. `hit` returns the damage that the caller must apply. */
export class Failpoints {
  readonly #points: readonly Failpoint[];
  readonly #effects: FailpointEffects;
  readonly #onFired: (firing: FailpointFiring) => void;

  /** @param onFired called before a failpoint takes effect, because a process that kills itself reports nothing afterwards */
  constructor(points: readonly Failpoint[], effects: FailpointEffects, onFired: (firing: FailpointFiring) => void = () => undefined) {
    this.#points = points;
    this.#effects = effects;
    this.#onFired = onFired;
  }

  /** The same failpoints with another observer. */
  observedBy(onFired: (firing: FailpointFiring) => void): Failpoints {
    return new Failpoints(this.#points, this.#effects, onFired);
  }

  /** Whether there are failpoints. Without them the caller can omit work that only they need. */
  get armed(): boolean {
    return this.#points.length > 0;
  }

  /**
   * @param step from 1
   * @param actions the actions that the caller supports; other failpoints of this name do not fire
   * @throws LAP_FAILPOINT if the action is `throw`
   */
  hit(name: FailpointName, step: number, target: number | "c", actions: readonly FailpointAction[] = failpointActions): boolean {
    for (const point of this.#points) {
      if (!actions.includes(point.action)) continue;
      if (point.name !== name || step < point.steps[0] || step > point.steps[1] || (point.target !== "*" && point.target !== target))
        continue;
      if (!this.#effects.claim(point)) continue;
      this.#onFired({ site: name, step, target, action: point.action });
      switch (point.action) {
        case "kill":
          this.#effects.kill();
          return false;
        case "suspend":
          this.#effects.suspend();
          return false;
        case "hang":
          this.#effects.hang();
          return false;
        case "throw":
          throw failpointError(point, step, target);
        case "corrupt":
        case "truncate":
        case "duplicate":
        case "reorder":
          return true;
      }
    }
    return false;
  }
}

/** No failpoint is active. */
export const noFailpoints: Failpoints = new Failpoints([], {
  kill: () => undefined,
  suspend: () => undefined,
  hang: () => undefined,
  claim: () => false,
});

const grammar = /^([a-z-]+)@(\d+\+?|\*),(\d+|c|\*):([a-z]+)(?:\*(\d+))?$/;

/** @throws LAP_FAILPOINT_TEXT */
export function parseFailpoints(text: string): Failpoint[] {
  return text
    .split(";")
    .map((one) => one.trim())
    .filter((one) => one !== "")
    .map((one) => {
      const [, name, step, target, action, times] = grammar.exec(one) ?? [];
      const known = failpointNames.find((candidate) => candidate === name);
      const does = action === undefined ? undefined : failpointAction(action);
      if (known === undefined || does === undefined || step === undefined || target === undefined) throw textError(one, name ?? one);
      return {
        name: known,
        steps: stepsOf(step),
        target: target === "*" || target === "c" ? target : Number(target),
        action: does,
        times: times === undefined ? 1 : Number(times),
        text: one,
      };
    });
}

function stepsOf(text: string): [number, number] {
  if (text === "*") return [0, Number.POSITIVE_INFINITY];
  const first = Number.parseInt(text, 10);
  return [first, text.endsWith("+") ? Number.POSITIVE_INFINITY : first];
}

function textError(text: string, name: string): LapidaryError {
  const near = suggest(name, failpointNames);
  return new LapidaryError({
    code: "LAP_FAILPOINT_TEXT",
    message: `${JSON.stringify(text)} is not a failpoint`,
    location: "LAPIDARY_FAILPOINTS",
    remedy: `write name@step,worker:action${near === undefined ? "" : `; did you mean "${near}"?`}, or unset the variable`,
  });
}

function failpointError({ text }: Failpoint, step: number, target: number | "c"): LapidaryError {
  return new LapidaryError({
    code: "LAP_FAILPOINT",
    message: `a test made ${target === "c" ? "the coordinator" : `worker ${target}`} fail at step ${step}`,
    location: text,
  });
}
