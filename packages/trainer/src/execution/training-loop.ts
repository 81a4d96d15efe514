import { type Clock, LapidaryError, raceAbort } from "@lapidary/std";
import type { TrainRow } from "@lapidary/api";
import { StepTimer } from "./step-timer.js";
import type { StepMetrics } from "../recipes/recipe.js";
import type { RunPrograms } from "./run-programs.js";

export interface TrainingLoopOptions {
  readonly programs: Pick<RunPrograms, "train">;
  /** Updates that the state already has. Default 0. */
  readonly from?: number;
  readonly steps: number;
  readonly tokensPerStep: number;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly onRow: (row: TrainRow) => void;
  /** All workers have computed a step, which is committed now. Called before `onRow`. */
  readonly commit?: (step: number, metrics: StepMetrics) => void;
  /**
   * Returns a wait if `dispatched` cannot be called for a step yet. Earlier steps are finished first, because the wait may depend on work after
   * them.
   */
  readonly backpressure?: (step: number) => (() => Promise<void>) | undefined;
  /** Called after a step was dispatched: requests in it read the state after that step. */
  readonly dispatched?: (step: number) => void;
  /** Whether a step must end before its state is captured and before the next step is dispatched. */
  readonly isSequential?: boolean | undefined;
  /** Maximum number of steps in flight. Default 4. */
  readonly ahead?: (step: number) => number;
  /** Drains the loop: the steps in flight finish and count. */
  readonly drain?: AbortSignal;
  /** Work after `step` updates and before the next step, such as an evaluation or a checkpoint. Undefined: nothing. */
  readonly between: (step: number) => (() => Promise<void>) | undefined;
}

export interface Trained {
  /** Loss of the last step. */
  readonly loss: number;
  /** Targets that counted, over all steps. */
  readonly tokens: number;
  /** Time of steps alone, without the work between them. */
  readonly train_ms: number;
  /** The last step that counts: fewer than requested if the loop was drained. */
  readonly step: number;
}

/** Default number of steps in flight: workers start the next step before the coordinator has the results of the last. */
const stepsAhead = 4;

/**
 * Dispatches all steps of a run in order, ahead of their results.
 *
 *     dispatch  1 2 3 4 . 5 . 6 …          a step is dispatched when the one four before it is done,
 *     done              1   2   3 …        and none before the work after an earlier step is done
 *
 * @throws LAP_LOSS_NOT_FINITE naming the step; the reason of the signal
 */
export async function trainingLoop(options: TrainingLoopOptions): Promise<Trained> {
  const { programs, steps, signal, clock, from = 0, drain, isSequential = false } = options;
  const timer = new StepTimer(clock);
  const inFlight: { readonly step: number; readonly metrics: Promise<StepMetrics> }[] = [];
  const total = { loss: Number.NaN, tokens: 0, train_ms: 0, step: from };

  const finishOldest = async (): Promise<void> => {
    const oldest = inFlight.shift();
    if (oldest === undefined) return;
    const { step, metrics } = oldest;
    const result = await raceAbort(metrics, signal);
    const { loss, grad_norm, learning_rate, tokens_counted, more } = result;
    checkFinite(step, loss, grad_norm ?? 0);
    options.commit?.(step, result);
    total.step = step;
    const { mean_ms, last_ms } = timer.step();
    total.loss = loss;
    total.tokens += tokens_counted;
    total.train_ms += last_ms;
    options.onRow({
      kind: "train",
      time: clock.now(),
      step,
      loss,
      ...(grad_norm === undefined ? {} : { grad_norm }),
      ...(learning_rate === undefined ? {} : { learning_rate }),
      tokens_per_s: (options.tokensPerStep * 1000) / mean_ms,
      step_ms: last_ms,
      eta_s: ((steps - step) * mean_ms) / 1000,
      ...(more === undefined ? {} : { metrics: { ...more } }),
    });
  };

  for (let step = from + 1; step <= steps && drain?.aborted !== true; step++) {
    const metrics = programs.train(step - 1);
    metrics.catch(() => undefined);
    inFlight.push({ step, metrics });
    // All requests of the step are sent when it ends. A request of another step must not come between them.
    if (isSequential) await raceAbort(metrics, signal);
    for (let wait = options.backpressure?.(step); wait !== undefined; wait = options.backpressure?.(step))
      await (inFlight.length > 1 ? finishOldest() : wait());
    options.dispatched?.(step);
    const between = options.between(step);
    const ahead = isSequential ? 1 : (options.ahead?.(step) ?? stepsAhead);
    while (inFlight.length >= (between === undefined && step < steps ? ahead : 1)) await finishOldest();
    if (between !== undefined) await timer.pause(between);
  }
  while (inFlight.length > 0) await finishOldest();
  return total;
}

function checkFinite(step: number, loss: number, gradNorm: number): void {
  if (Number.isFinite(loss) && Number.isFinite(gradNorm)) return;
  const what = Number.isFinite(loss) ? `the gradients' norm is ${gradNorm}` : `the loss is ${loss}`;
  throw new LapidaryError({
    code: "LAP_LOSS_NOT_FINITE",
    message: `${what} at step ${step}: training has diverged`,
    location: `step ${step}`,
  });
}
