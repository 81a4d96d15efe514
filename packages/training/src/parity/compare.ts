import type { ArrayData } from "@lapidary/interop";
import { assert, must } from "@lapidary/std";

/** How far results lie from the reference. Field names are those of `lapidary parity --json`. */
export interface ParityDistances {
  readonly logits_max_abs: number;
  /** By step. */
  readonly loss_abs: readonly number[];
  /** Largest ‖ours − theirs‖₂ / ‖theirs‖₂ over the gradients. */
  readonly grads_max_rel_l2: number;
  /** The gradient it belongs to. */
  readonly grads_worst: string;
  readonly params_step1_rms: number;
  readonly params_step5_rms: number;
  readonly sft_loss_abs: number;
}

export type ParityTolerances = Readonly<Record<Exclude<keyof ParityDistances, "grads_worst">, number>>;

/** For `f32`, sharded or not. */
const f32Tolerances: ParityTolerances = {
  logits_max_abs: 2e-5,
  loss_abs: 2e-5,
  grads_max_rel_l2: 1e-5,
  params_step1_rms: 1e-6,
  params_step5_rms: 1e-6,
  sft_loss_abs: 2e-5,
};

/** Products of bf16 inputs err by up to 2⁻⁸; Adam's first steps are signs, which flip where a gradient is smaller than its error. */
const mxuTolerances: ParityTolerances = {
  logits_max_abs: 0.2,
  loss_abs: 0.02,
  grads_max_rel_l2: 0.1,
  params_step1_rms: 1e-3,
  params_step5_rms: 2e-3,
  sft_loss_abs: 0.02,
};

export const parityTolerances = (numerics: "f32" | "mxu"): ParityTolerances => (numerics === "f32" ? f32Tolerances : mxuTolerances);

/** The distances that exceed their tolerance, by name; a NaN exceeds any. Empty: in parity. */
export function parityFailures(distances: ParityDistances, tolerances: ParityTolerances): (keyof ParityTolerances)[] {
  return (Object.keys(tolerances) as (keyof ParityTolerances)[]).filter((key) =>
    [distances[key]].flat().some((distance) => !(distance <= tolerances[key])),
  );
}

/** Largest |a − b|; NaN if there is one. */
export function maxAbs(ours: ArrayData, theirs: ArrayData): number {
  return fold(ours, theirs, 0, (max, a, b) => Math.max(max, Math.abs(a - b)));
}

/** ‖ours − theirs‖₂ / ‖theirs‖₂; the plain distance where theirs is zero. */
export function relativeL2(ours: ArrayData, theirs: ArrayData): number {
  const distance = Math.sqrt(fold(ours, theirs, 0, (sum, a, b) => sum + (a - b) ** 2));
  const norm = Math.sqrt(fold(theirs, theirs, 0, (sum, a) => sum + a ** 2));
  return norm === 0 ? distance : distance / norm;
}

/** Root mean square of ours − theirs over all elements of all arrays. */
export function rms(ours: ReadonlyMap<string, ArrayData>, theirs: ReadonlyMap<string, ArrayData>): number {
  let [sum, count] = [0, 0];
  for (const [name, array] of theirs) {
    sum = fold(must(ours.get(name), name), array, sum, (total, a, b) => total + (a - b) ** 2);
    count += array.data.length;
  }
  return Math.sqrt(sum / count);
}

/** The largest relative distance of a set of gradients and its name; NaN counts as the largest. */
export function worstGradient(
  ours: ReadonlyMap<string, ArrayData>,
  theirs: ReadonlyMap<string, ArrayData>,
): { name: string; distance: number } {
  let worst = { name: "", distance: -1 };
  for (const [name, array] of theirs) {
    const distance = relativeL2(must(ours.get(name), name), array);
    if (!(distance <= worst.distance) && !Number.isNaN(worst.distance)) worst = { name, distance };
  }
  return worst;
}

function fold(a: ArrayData, b: ArrayData, start: number, step: (sum: number, a: number, b: number) => number): number {
  assert(a.dims.join() === b.dims.join(), "arrays of equal dims are compared", a.dims, b.dims);
  let sum = start;
  for (let i = 0; i < b.data.length; i++) sum = step(sum, must(a.data[i], "element"), must(b.data[i], "element"));
  return sum;
}
