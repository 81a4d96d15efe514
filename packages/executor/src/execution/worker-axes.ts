import type { DimLayout } from "@lapidary/compiler";
import { assert } from "@lapidary/std";

/** An array seen as factors, some of which tell the worker. */
export interface WorkerAxes {
  /** All dims, with the one of the layout as its factors. */
  readonly factors: readonly number[];
  /** The permutation that brings the workers' factors to the front, in their order. */
  readonly toFront: readonly number[];
  /** How many of them there are. */
  readonly workers: number;
}

/**
 *     dims [8, 64], layout of dim 1: 16, 2 (worker), 2   →   factors [8, 16, 2, 2], to front (2, 0, 1, 3)
 */
export function workerAxes(dims: readonly number[], layout: DimLayout): WorkerAxes {
  const factors: number[] = [];
  const [workers, others]: [number[], number[]] = [[], []];
  dims.forEach((size, d) => {
    const own = d === layout.dimension ? layout.factors : [{ size, worker: false }];
    assert(own.reduce((n, factor) => n * factor.size, 1) === size, "the factors of a layout fill its dim", dims, layout);
    for (const factor of own) {
      (factor.worker ? workers : others).push(factors.length);
      factors.push(factor.size);
    }
  });
  return { factors, toFront: [...workers, ...others], workers: workers.length };
}
