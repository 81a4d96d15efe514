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
    this.#add(value, Math.abs(actual - expected), this.#tolerances[kind]);
  }

  /** A count or a share of counted things: equal but for the rounding of one division. */
  exact(value: string, actual: number, expected: number): void {
    this.#add(value, Math.abs(actual - expected), 1e-6 * Math.max(1, Math.abs(expected)));
  }

  /** Integers, none of which may differ. */
  equal(value: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
    const differ = Array.from(expected).filter((x, i) => x !== actual[i]).length + Math.abs(actual.length - expected.length);
    this.#add(`${value} that differ`, differ, 0);
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
    this.#add("step_losses", Math.max(...expected.map((loss, i) => Math.abs(ensure(actual[i], "loss") - loss))), this.#tolerances.value);
  }

  /** The actual value must not be one that a known mistake gives. */
  mistakes(actual: number, mistakes: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(mistakes)) {
      const [deviation, tolerance] = [Math.abs(actual - value), this.#tolerances.value];
      this.list.push({ part: this.part, value: name, deviation, tolerance, mistake: true, ok: deviation > tolerance });
    }
  }

  #add(value: string, deviation: number, tolerance: number): void {
    this.list.push({ part: this.part, value, deviation, tolerance, mistake: false, ok: deviation <= tolerance });
  }
}
