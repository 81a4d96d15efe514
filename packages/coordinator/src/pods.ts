import { assert, LapidaryError } from "@lapidary/std";
import { chipCount, placeSlice, printTorus, type Torus } from "@lapidary/topology";
import type { SlicePlace } from "@lapidary/api/api-values";
import type { Status } from "@lapidary/api";

/** A kind of pod, as a pod file describes it. */
export interface PodKind {
  readonly name: string;
  readonly torus: Torus;
}

/** The chips that a job requests: the same rectangle of `pods` pods. */
export interface SliceRequest {
  readonly kind: PodKind;
  readonly dims: readonly number[];
  readonly pods: number;
}

/**
 * The allocation of the chips of the emulated pods. All pods have the same kind, which the running jobs name. A job for another kind waits
 * until all chips are free. There are as many pods as the widest of these jobs spans.
 *
 *     pod 0  ┌───────┬───────┐     pod 1  ┌───────┬───────┐
 *            │ job a │ job b │            │       │ job b │      b spans two pods
 *            └───────┴───────┘            └───────┴───────┘
 *
 * Invariant: slices of one pod do not overlap.
 */
export class Pods {
  #kind: PodKind | undefined;
  readonly #taken = new Map<string, SlicePlace>();

  /**
   * Gives the job its chips, or returns undefined if too few are free.
   *
   * @throws LAP_SLICE_TOO_LARGE if the slice does not fit into empty pods
   */
  place(job: string, request: SliceRequest): SlicePlace | undefined {
    const { kind, dims } = request;
    assert(!this.#taken.has(job), "a job has one slice", job);
    checkSliceFits(request);
    if (this.#taken.size > 0 && this.#kind !== undefined && !sameKind(this.#kind, kind)) return undefined;
    const pods = Math.max(this.#podsInUse(), request.pods);
    for (let pod = 0; pod + request.pods <= pods; pod++) {
      const overlapping = [...this.#taken.values()].filter((other) => other.pod < pod + request.pods && pod < other.pod + other.pods);
      const slice = placeSlice(kind.torus, dims, overlapping);
      if (slice === undefined) continue;
      const place = { pod, pods: request.pods, origin: [...slice.origin], dims: [...slice.dims] };
      this.#taken.set(job, place);
      this.#kind = kind;
      return place;
    }
    return undefined;
  }

  free(job: string): void {
    this.#taken.delete(job);
  }

  status(): Status["pods"] {
    if (this.#kind === undefined) return undefined;
    const pods = Math.max(1, this.#podsInUse());
    const chips = pods * chipCount(this.#kind.torus);
    const slices = [...this.#taken].map(([job, place]) => ({ ...place, job }));
    const taken = slices.reduce((sum, slice) => sum + slice.pods * chipCount(slice), 0);
    return { name: this.#kind.name, torus: printTorus(this.#kind.torus), pods, chips, free_chips: chips - taken, slices };
  }

  #podsInUse(): number {
    return Math.max(0, ...[...this.#taken.values()].map(({ pod, pods }) => pod + pods));
  }
}

/** @throws LAP_SLICE_TOO_LARGE */
export function checkSliceFits({ kind: { name, torus }, dims }: SliceRequest): void {
  if (dims.length === torus.dims.length && dims.every((size, d) => size <= (torus.dims[d] ?? 0))) return;
  throw new LapidaryError({
    code: "LAP_SLICE_TOO_LARGE",
    message: `a slice of ${printTorus({ dims })} chips does not fit in a pod of ${printTorus(torus)}`,
    location: "slice",
    remedy: `choose a slice within ${printTorus(torus)}, or another pod than ${name}`,
  });
}

const sameKind = (a: PodKind, b: PodKind): boolean => a.name === b.name && printTorus(a.torus) === printTorus(b.torus);

/**
 * The number of worker processes that emulate a slice, unless its job sets it. It is the share of the machine's workers that the slice has of its pods,
 * and at least one. It depends on the job alone and not on other jobs, so that the same job adds in the same order every time.
 */
export function workersForSlice(workers: number, { kind, dims }: SliceRequest): number {
  return Math.max(1, Math.floor((workers * chipCount({ dims })) / chipCount(kind.torus)));
}
