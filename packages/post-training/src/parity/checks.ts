import type { ArrayData } from "@lapidary/interop";
import { ensure } from "@lapidary/std";
import { largestGradientDeviation, maxAbsDifference } from "@lapidary/training";
import type { Manifest } from "./manifest.js";

/** One comparison with the reference. */
export interface PostCheck {
  /** The recipe, such as `dpo`. */
  readonly part: string;
  /** The compared value, such as `loss`. */
  readonly value: string;
  /** Distance from the reference; for a mistake, distance from the value that the mistake gives. */
  readonly deviation: number;
  readonly tolerance: number;
  /** A known mistake: the deviation must exceed the tolerance. */
  readonly mistake: boolean;
  /** The reference itself gives the value of the mistake, so the bundle cannot show the mistake. */
  readonly undetectable: boolean;
  readonly ok: boolean;
}

/** Tolerances of the kinds of values. */
interface Tolerances {
  readonly value: number;
  readonly tokenLogp: number;
  readonly rowLogp: number;
  readonly logits: number;
  readonly gradient: number;
  readonly gradientNorm: number;
  readonly merged: number;
  readonly mean: number;
}

const tolerancesOf = ({ tolerances }: Manifest): Tolerances => ({
  value: tolerances["loss, step_losses, scores, values, advantages, returns"],
  tokenLogp: tolerances["log-probability of a token"],
  rowLogp: tolerances["log-probability summed over a row"],
  logits: tolerances.logits,
  gradient: tolerances["grads, relative L2 of each"],
  gradientNorm: tolerances["grad_norm, relative"],
  merged: tolerances["merged weights"],
  mean: tolerances["means of entropy, kl, ratio"],
});

/** The rounding of f32 exceeds a tolerance in absolute terms if the number is large: a loss of 2,500 has steps of 2.4e-4. */
const atLeastRounding = (tolerance: number, expected: number): number => Math.max(tolerance, 8 * 2 ** -23 * Math.abs(expected));

const differing = (actual: ArrayLike<number>, expected: ArrayLike<number>): number =>
  Array.from(expected).filter((x, i) => x !== actual[i]).length + Math.max(0, actual.length - expected.length);

/** Collects the comparisons of one part. */
export class PartChecks {
  readonly list: PostCheck[] = [];
  readonly #tolerances: Tolerances;

  constructor(
    private readonly part: string,
    manifest: Manifest,
  ) {
    this.#tolerances = tolerancesOf(manifest);
  }

  number(value: string, actual: number, expected: number, kind: keyof Tolerances = "value"): void {
    this.#add(value, Math.abs(actual - expected), atLeastRounding(this.#tolerances[kind], expected));
  }

  /** A count or a share of counted things: equal but for the rounding of one division. */
  exact(value: string, actual: number, expected: number): void {
    this.#add(value, Math.abs(actual - expected), 1e-6 * Math.max(1, Math.abs(expected)));
  }

  /** Integers, none of which may differ. */
  equal(value: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
    this.allEqual(value, [[actual, expected]]);
  }

  /** Lists of integers, none of which may differ. The name of a check that fails has the index of the worst list. */
  allEqual(value: string, pairs: readonly (readonly [actual: ArrayLike<number>, expected: ArrayLike<number>])[]): void {
    const differences = pairs.map(([actual, expected]) => differing(actual, expected));
    const sum = differences.reduce((a, b) => a + b, 0);
    const worst = pairs.length > 1 && sum > 0 ? ` (most in ${differences.indexOf(Math.max(...differences))})` : "";
    this.#add(`${value} that differ${worst}`, sum, 0);
  }

  array(value: string, actual: ArrayData, expected: ArrayData, kind: keyof Tolerances = "value"): void {
    this.#add(value, maxAbsDifference(actual, expected), this.#tolerances[kind]);
  }

  gradients(value: string, actual: ReadonlyMap<string, ArrayData>, expected: ReadonlyMap<string, ArrayData>): void {
    const { name, deviation } = largestGradientDeviation(actual, expected);
    this.#add(`${value} (worst: ${name})`, deviation, this.#tolerances.gradient);
  }

  gradientNorm(value: string, actual: number, expected: number): void {
    this.#add(value, Math.abs(actual - expected) / expected, this.#tolerances.gradientNorm);
  }

  /** Losses before each of three updates, and after the last. */
  steps(actual: readonly number[], expected: readonly number[]): void {
    const largest = Math.max(...expected.map(Math.abs));
    const deviation = Math.max(...expected.map((loss, i) => Math.abs(ensure(actual[i], "loss") - loss)));
    this.#add("step_losses", deviation, atLeastRounding(this.#tolerances.value, largest));
  }

  /** The actual value must not be one that a known mistake gives. */
  mistakes(actual: number, expected: number, mistakes: Readonly<Record<string, number>>, prefix = ""): void {
    for (const [name, value] of Object.entries(mistakes)) {
      const deviation = Math.abs(actual - value);
      const tolerance = atLeastRounding(this.#tolerances.value, expected);
      // The actual value itself may be one tolerance from the expected value.
      const undetectable = Math.abs(expected - value) <= 2 * tolerance;
      const ok = undetectable || deviation > tolerance;
      this.list.push({ part: this.part, value: prefix + name, deviation, tolerance, mistake: true, undetectable, ok });
    }
  }

  #add(value: string, deviation: number, tolerance: number): void {
    this.list.push({ part: this.part, value, deviation, tolerance, mistake: false, undetectable: false, ok: deviation <= tolerance });
  }
}
