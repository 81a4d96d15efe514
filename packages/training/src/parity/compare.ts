import type { ArrayData } from "@lapidary/interop";
import { assert, ensure } from "@lapidary/std";

/** The deviations of results from a reference. Field names are those of `lapidary parity --json`. */
export interface ParityDeviations {
  readonly logits_max_abs: number;
  /** By step. */
  readonly loss_abs: readonly number[];
  /** Largest ‖actual − expected‖₂ / ‖expected‖₂ over the gradients. */
  readonly grads_max_rel_l2: number;
  /** The gradient with the largest deviation. */
  readonly grads_worst: string;
  /** Relative, of the global norm of the gradients of batch 0 in the train step. */
  readonly grad_norm_rel: number;
  readonly params_step1_rms: number;
  readonly params_step5_rms: number;
  readonly sft_loss_abs: number;
}

export type ParityTolerances = Readonly<Record<Exclude<keyof ParityDeviations, "grads_worst">, number>>;

/** For `f32`, with and without sharding. */
const f32Tolerances: ParityTolerances = {
  logits_max_abs: 2e-5,
  loss_abs: 2e-5,
  grads_max_rel_l2: 1e-5,
  grad_norm_rel: 1e-5,
  params_step1_rms: 1e-6,
  params_step5_rms: 1e-6,
  sft_loss_abs: 2e-5,
};

/** Matmuls of bf16 inputs have errors of up to 2⁻⁸. Adam's first steps are signs, which flip if a gradient is smaller than its error. */
const mxuTolerances: ParityTolerances = {
  logits_max_abs: 0.2,
  loss_abs: 0.02,
  grads_max_rel_l2: 0.1,
  grad_norm_rel: 0.1,
  params_step1_rms: 1e-3,
  params_step5_rms: 2e-3,
  sft_loss_abs: 0.02,
};

export const parityTolerances = (numerics: "f32" | "mxu"): ParityTolerances => (numerics === "f32" ? f32Tolerances : mxuTolerances);

/** The names of the deviations that exceed their tolerance. NaN exceeds any tolerance. Empty: the results are in parity. */
export function parityFailures(deviations: ParityDeviations, tolerances: ParityTolerances): (keyof ParityTolerances)[] {
  return (Object.keys(tolerances) as (keyof ParityTolerances)[]).filter((key) =>
    [deviations[key]].flat().some((deviation) => !(deviation <= tolerances[key])),
  );
}

/** Largest |a − b|; NaN if an element is NaN. */
export function maxAbsDifference(actual: ArrayData, expected: ArrayData): number {
  return fold(actual, expected, 0, (max, a, b) => Math.max(max, Math.abs(a - b)));
}

/** ‖actual − expected‖₂ / ‖expected‖₂; the absolute deviation if `expected` is zero. */
function relativeL2(actual: ArrayData, expected: ArrayData): number {
  const deviation = Math.sqrt(fold(actual, expected, 0, (sum, a, b) => sum + (a - b) ** 2));
  const norm = Math.sqrt(fold(expected, expected, 0, (sum, a) => sum + a ** 2));
  return norm === 0 ? deviation : deviation / norm;
}

/** Root mean square of actual − expected over all elements of all arrays. */
export function rmsDifference(actual: ReadonlyMap<string, ArrayData>, expected: ReadonlyMap<string, ArrayData>): number {
  let [sum, count] = [0, 0];
  for (const [name, array] of expected) {
    sum = fold(ensure(actual.get(name), name), array, sum, (total, a, b) => total + (a - b) ** 2);
    count += array.data.length;
  }
  return Math.sqrt(sum / count);
}

/** The largest relative deviation of a set of gradients, and the name of the gradient. NaN counts as the largest. */
export function largestGradientDeviation(
  actual: ReadonlyMap<string, ArrayData>,
  expected: ReadonlyMap<string, ArrayData>,
): { name: string; deviation: number } {
  let worst = { name: "", deviation: -1 };
  for (const [name, array] of expected) {
    const deviation = relativeL2(ensure(actual.get(name), name), array);
    if (!(deviation <= worst.deviation) && !Number.isNaN(worst.deviation)) worst = { name, deviation };
  }
  return worst;
}

function fold(a: ArrayData, b: ArrayData, start: number, step: (sum: number, a: number, b: number) => number): number {
  assert(a.dims.join() === b.dims.join(), "arrays of equal dims are compared", a.dims, b.dims);
  let sum = start;
  for (let i = 0; i < b.data.length; i++) sum = step(sum, ensure(a.data[i], "element"), ensure(b.data[i], "element"));
  return sum;
}
