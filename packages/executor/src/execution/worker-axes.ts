import type { DimLayout } from "@lapidary/compiler";
import { assert } from "@lapidary/std";

/** The dims of an array as factors. Some factors are coordinates of workers. */
export interface WorkerAxes {
  /** All dims; the dim of the layout is replaced by its factors. */
  readonly factors: readonly number[];
  /** The permutation that moves the workers' factors to the front, in their order. */
  readonly toFront: readonly number[];
  /** Number of the workers' factors. */
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
