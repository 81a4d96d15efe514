import type { IdleIterations, TickPart } from "@lapidary/ir";

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
 * The regions of ticks. Microbatch m is in stage s
 *
 *  - forward in tick m + s, and leaves the last stage in tick m + S − 1;
 *  - backward in tick m + 2(S − 1) − s;
 *  - with `weightsApart`: weights in tick m + 2(S − 1), in all stages.
 */
export function tickRanges({ stages: S, microbatches: M, weightsApart }: TickTable): TickRange[] {
  const begins: Readonly<Record<TickPart, (stage: number) => number>> = {
    forward: (stage) => stage,
    backward: (stage) => 2 * (S - 1) - stage,
    weights: () => 2 * (S - 1),
  };
  const parts: readonly TickPart[] = weightsApart ? ["forward", "backward", "weights"] : ["forward", "backward"];
  const places = Array.from({ length: S }, (_, stage) => stage);
  const first = (part: TickPart): number => Math.min(...places.map(begins[part]));
  const end = (part: TickPart): number => Math.max(...places.map(begins[part])) + M;
  const borders = [...new Set([...parts.flatMap((part) => [first(part), end(part)]), S - 1])].sort((a, b) => a - b);
  return borders.slice(1).map((to, i) => {
    const from = borders[i] ?? 0;
    const own = parts.filter((part) => first(part) <= from && to <= end(part));
    const busy = (begin: number): number => Math.max(0, Math.min(to, begin + M) - Math.max(from, begin));
    const idleOf = (part: TickPart): number[] => places.map((stage) => to - from - busy(begins[part](stage)));
    return {
      count: to - from,
      parts: own,
      hasLoss: from >= S - 1 && to <= S - 1 + M,
      idle: Object.fromEntries(own.map((part) => [part, idleOf(part)])),
    };
  });
}
