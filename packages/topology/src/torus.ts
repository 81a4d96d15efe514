import { LapidaryError, assert } from "@lapidary/std";

/**
 * A pod is a torus of chips; a **slice** is a rectangle of the torus for one job. Chips are numbered row-major:
 *
 *        y →                 chip (x, y) of an X×Y torus has number x·Y + y;
 *      x  0  1  2  3         links connect neighbours along each dim, and the last to the
 *      ↓  4  5  6  7         first if the dim wraps around (v5e: only a dim of 16).
 */
export interface Torus {
  /** Chips along each dim. */
  readonly dims: readonly number[];
}

export interface Slice {
  /** Coordinates of the slice's first chip in its pod. */
  readonly origin: readonly number[];
  readonly dims: readonly number[];
}

/** `"16x16"` → `{ dims: [16, 16] }`. */
export function parseTorus(text: string): Torus {
  const dims = /^\d+(x\d+)*$/.test(text) ? text.split("x").map(Number) : [];
  if (dims.length === 0 || dims.length > 3 || dims.some((d) => d < 1 || d > 4096))
    throw new LapidaryError({
      code: "LAP_TOPOLOGY_TORUS",
      message: `"${text}" is not a torus`,
      location: "torus",
    });
  return { dims };
}

export const printTorus = (torus: Torus): string => torus.dims.join("x");

export const chipCount = (torus: Torus): number => torus.dims.reduce((a, b) => a * b, 1);

/** Coordinates of chip number `chip`, row-major. */
export function chipCoordinates(torus: Torus, chip: number): number[] {
  assert(chip >= 0 && chip < chipCount(torus), "the chip is in the torus", chip, torus);
  const coordinates: number[] = [];
  let rest = chip;
  for (let i = torus.dims.length - 1; i >= 0; i--) {
    const size = torus.dims[i] ?? 1;
    coordinates.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return coordinates;
}

/** Number of the chip at `coordinates`, row-major. */
export function chipNumber(torus: Torus, coordinates: readonly number[]): number {
  return coordinates.reduce((number, c, i) => number * (torus.dims[i] ?? 1) + c, 0);
}

/** Whether two slices of one pod share a chip. */
export function slicesOverlap(a: Slice, b: Slice): boolean {
  return a.dims.every((size, i) => {
    const [a0, b0] = [a.origin[i] ?? 0, b.origin[i] ?? 0];
    return a0 < b0 + (b.dims[i] ?? 1) && b0 < a0 + size;
  });
}

/**
 * The first position (row-major) where a slice of `dims` fits in the pod next to the slices in `taken`; undefined if
 * there is none. The origin of a slice is a multiple of its size, so that halves and quarters of a pod do not fragment it.
 */
export function placeSlice(pod: Torus, dims: readonly number[], taken: readonly Slice[]): Slice | undefined {
  if (dims.length !== pod.dims.length) return undefined;
  // Zero along a dim in which the slice is larger than the pod.
  const steps = dims.map((d, i) => Math.floor((pod.dims[i] ?? 0) / d));
  const places = steps.reduce((a, b) => a * b, 1);
  for (let n = 0; n < places; n++) {
    const origin = chipCoordinates({ dims: steps }, n).map((c, i) => c * (dims[i] ?? 1));
    const slice = { origin, dims };
    if (!taken.some((other) => slicesOverlap(slice, other))) return slice;
  }
  return undefined;
}
