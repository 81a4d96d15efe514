import type { IdleIterations, TickPart } from "@lapidary/ir";
import type { PipelineShape } from "@lapidary/models";

/** Consecutive ticks that have the same parts, as one region. */
export interface TickRange {
  readonly count: number;
  readonly parts: readonly TickPart[];
  /** Whether a microbatch leaves the last stage in each tick, so that its loss is computed. */
  readonly hasLoss: boolean;
  readonly idle: IdleIterations;
}

/** The ticks of the orders in which the backward pass of a microbatch follows its forward pass. */
interface TickTable {
  readonly stages: number;
  readonly microbatches: number;
  /** Whether gradients of weights have a part of their own, as in `zero_bubble`. */
  readonly weightsApart: boolean;
}

/**
 * By part, the tick in which the first microbatch is in a stage. Microbatch m is in stage s
 *
 *  - forward in tick m + s, and leaves the last stage in tick m + S − 1;
 *  - backward in tick m + 2(S − 1) − s;
 *  - with `weightsApart`: weights in tick m + 2(S − 1), in all stages.
 */
const begins: Readonly<Record<TickPart, (stage: number, stages: number) => number>> = {
  forward: (stage) => stage,
  backward: (stage, S) => 2 * (S - 1) - stage,
  weights: (_, S) => 2 * (S - 1),
};

const partsOfTicks = (weightsApart: boolean): readonly TickPart[] =>
  weightsApart ? ["forward", "backward", "weights"] : ["forward", "backward"];

/** The regions of ticks, in order. */
export function tickRanges({ stages: S, microbatches: M, weightsApart }: TickTable): TickRange[] {
  const parts = partsOfTicks(weightsApart);
  const places = Array.from({ length: S }, (_, stage) => stage);
  const beginsOf = (part: TickPart): number[] => places.map((stage) => begins[part](stage, S));
  const first = (part: TickPart): number => Math.min(...beginsOf(part));
  const end = (part: TickPart): number => Math.max(...beginsOf(part)) + M;
  const borders = [...new Set([...parts.flatMap((part) => [first(part), end(part)]), S - 1])].sort((a, b) => a - b);
  return borders.slice(1).map((to, i) => {
    const from = borders[i] ?? 0;
    const own = parts.filter((part) => first(part) <= from && to <= end(part));
    const busy = (begin: number): number => Math.max(0, Math.min(to, begin + M) - Math.max(from, begin));
    return {
      count: to - from,
      parts: own,
      hasLoss: from >= S - 1 && to <= S - 1 + M,
      idle: Object.fromEntries(own.map((part) => [part, beginsOf(part).map((begin) => to - from - busy(begin))])),
    };
  });
}

/**
 * By stage, the most microbatches that are in flight: their forward tick began, and their last tick did not end. With repeats, a microbatch
 * counts once in each repeat.
 */
export function inFlightByStage({ stages, order, repeats }: Required<PipelineShape>, microbatches: number): number[] {
  const last = partsOfTicks(order === "zero_bubble").at(-1) ?? "backward";
  const isJoint = order === "gpipe" || order === "circular";
  return Array.from({ length: stages }, (_, stage) =>
    isJoint ? repeats * microbatches : Math.min(microbatches, begins[last](stage, stages) - begins.forward(stage, stages) + 1),
  );
}
