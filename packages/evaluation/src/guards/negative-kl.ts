/** Consecutive steps with a negative estimate that chance does not explain: 2⁻¹⁰ for an estimate without bias. */
export const negativeKlSteps = 10;

/** Estimates above this are 0 within rounding, nats a token. */
const rounding = 1e-6;

/**
 * Counts consecutive steps whose estimate k1 of the KL is negative. The KL of a policy to its reference is not negative, so the estimate is negative by
 * chance, or because the completions are not drawn from the policy.
 */
export class NegativeKl {
  #steps = 0;

  /** @returns whether the estimate of each of the last `negativeKlSteps` steps is negative */
  add(k1: number): boolean {
    this.#steps = k1 < -rounding ? this.#steps + 1 : 0;
    return this.#steps >= negativeKlSteps;
  }
}
