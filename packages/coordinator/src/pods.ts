import { type Slice, type Torus, chipCount, placeSlice, printTorus } from "@lapidary/topology";
import { assert, ExitCode, LapidaryError } from "@lapidary/std";
import type { SlicePlace, Status } from "./api.js";

/** The pods that a job wants to run on: as its pod file describes them. */
export interface PodSet {
  readonly name: string;
  readonly torus: Torus;
  readonly pods: number;
}

/**
 * Who has which chips of the emulated pods. There is one set of pods at a time, the one that the running jobs name; a job for another set
 * waits until all chips are free, and then brings its own.
 *
 *     pod 0  ┌───────┬───────┐     pod 1  ┌───────────────┐
 *            │ job a │ job b │            │               │
 *            └───────┴───────┘            └───────────────┘
 *
 * Invariant: slices of one pod do not overlap.
 */
export class Pods {
  #set: PodSet | undefined;
  readonly #taken = new Map<string, SlicePlace>();

  /**
   * Gives the job a slice of `dims` chips, or nothing while there is no room.
   *
   * @throws LAP_SLICE_TOO_LARGE when it cannot fit even in empty pods
   */
  place(job: string, wanted: PodSet, dims: readonly number[]): SlicePlace | undefined {
    assert(!this.#taken.has(job), "a job has one slice", job);
    checkSliceFits(wanted, dims);
    if (this.#taken.size > 0 && this.#set !== undefined && !sameSet(this.#set, wanted)) return undefined;
    this.#set = wanted;
    for (let pod = 0; pod < wanted.pods; pod++) {
      const taken = [...this.#taken.values()].filter((place) => place.pod === pod);
      const slice = placeSlice(wanted.torus, dims, taken satisfies readonly Slice[]);
      if (slice === undefined) continue;
      const place = { pod, origin: [...slice.origin], dims: [...slice.dims] };
      this.#taken.set(job, place);
      return place;
    }
    return undefined;
  }

  free(job: string): void {
    this.#taken.delete(job);
  }

  status(): Status["pods"] {
    const set = this.#set;
    if (set === undefined) return undefined;
    const chips = set.pods * chipCount(set.torus);
    const slices = [...this.#taken].map(([job, place]) => ({ ...place, job }));
    return { name: set.name, torus: printTorus(set.torus), pods: set.pods, chips, free_chips: chips - slices.reduce((sum, { dims }) => sum + chipCount({ dims }), 0), slices };
  }
}

/** @throws LAP_SLICE_TOO_LARGE */
export function checkSliceFits({ name, torus }: PodSet, dims: readonly number[]): void {
  if (dims.length === torus.dims.length && dims.every((size, d) => size <= (torus.dims[d] ?? 0))) return;
  throw new LapidaryError({
    code: "LAP_SLICE_TOO_LARGE",
    message: `a slice of ${printTorus({ dims })} chips does not fit in a pod of ${printTorus(torus)}`,
    place: "slice",
    remedy: `choose a slice within ${printTorus(torus)}, or another pod than ${name}`,
    exit: ExitCode.doesNotFit,
  });
}

const sameSet = (a: PodSet, b: PodSet): boolean => a.name === b.name && a.pods === b.pods && printTorus(a.torus) === printTorus(b.torus);

/**
 * How many worker processes emulate a slice: its share of the machine's, at least one. It depends on the job alone and not on what else runs,
 * so that the same job sums in the same order every time.
 */
export function workersForSlice(workers: number, set: PodSet, dims: readonly number[]): number {
  return Math.max(1, Math.floor((workers * chipCount({ dims })) / (set.pods * chipCount(set.torus))));
}
