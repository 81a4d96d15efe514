import type { Fence } from "@lapidary/checkpoint";
import type { Evaluation } from "../recipes/recipe.js";

export interface HeldoutEvaluationsOptions<P> {
  /** Steps of the run. */
  readonly steps: number;
  /** Steps between two evaluations. Undefined: only after the last step. */
  readonly every: number | undefined;
  /** Steps whose evaluation an earlier coordinator reported. */
  readonly reported: Iterable<number>;
  readonly evaluate: (programs: P) => Promise<Evaluation>;
  /** Receives each evaluation once. */
  readonly report: (step: number, evaluation: Evaluation) => void;
}

/**
 * The evaluations of a run: after which steps the held-out data is evaluated, and the last result.
 *
 * Invariant: the evaluation of a step is reported once, also if the run repeats the step or another coordinator continues the run. An attempt
 * that was superseded reports none.
 */
export class HeldoutEvaluations<P> {
  readonly #options: HeldoutEvaluationsOptions<P>;
  readonly #reported: Set<number>;
  #last: { readonly step: number; readonly evaluation: Evaluation } | undefined;

  constructor(options: HeldoutEvaluationsOptions<P>) {
    this.#options = options;
    this.#reported = new Set(options.reported);
  }

  /** The evaluation after a step, if this execution has computed it. */
  of(step: number): Evaluation | undefined {
    return this.#last?.step === step ? this.#last.evaluation : undefined;
  }

  /** The evaluation that is due after a step. Undefined: none. */
  after(programs: P, step: number, fence: Fence): (() => Promise<void>) | undefined {
    const { steps, every } = this.#options;
    const isDue = every !== undefined && step % every === 0 && !this.#reported.has(step);
    return step === steps || isDue ? () => this.#evaluate(programs, step, fence) : undefined;
  }

  /** Evaluates the last state, unless that was done. */
  async atEnd(programs: P, fence: Fence): Promise<void> {
    const { steps } = this.#options;
    if (this.of(steps) === undefined) await this.#evaluate(programs, steps, fence);
  }

  /** @throws LAP_EPOCH_STALE */
  async #evaluate(programs: P, step: number, fence: Fence): Promise<void> {
    const evaluation = await this.#options.evaluate(programs);
    this.#last = { step, evaluation };
    if (this.#reported.has(step)) return;
    fence.check();
    this.#reported.add(step);
    this.#options.report(step, evaluation);
  }
}
