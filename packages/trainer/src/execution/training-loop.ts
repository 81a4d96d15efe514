import { type Clock, LapidaryError, raceAbort } from "@lapidary/std";
import type { TrainRow } from "@lapidary/api";
import { StepTimer } from "./step-timer.js";
import type { RunPrograms, StepMetrics } from "./run-programs.js";

export interface TrainingLoopOptions {
  readonly programs: Pick<RunPrograms, "train">;
  /** Updates that the state has had already. Default 0. */
  readonly from?: number;
  readonly steps: number;
  readonly tokensPerStep: number;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly onRow: (row: TrainRow) => void;
  /** All workers have computed a step: it counts from here on. Before `onRow`. */
  readonly commit?: (step: number, metrics: StepMetrics) => void;
  /**
   * What has to be waited for before `dispatched` is called for a step, as long as there is something. Earlier steps are finished first: it may wait for
   * what is done after them.
   */
  readonly backpressure?: (step: number) => (() => Promise<void>) | undefined;
  /** Called when a step was dispatched: what it dispatches itself sees the state after that step. */
  readonly dispatched?: (step: number) => void;
  /** So many steps are under way at once. Default 4. */
  readonly ahead?: (step: number) => number;
  /** Ends the loop in good order: what is under way is finished and counts. */
  readonly drain?: AbortSignal;
  /**
   * What is to be done once `step` updates were made and before the next one begins: evaluate, write a checkpoint. Undefined: nothing.
   */
  readonly between: (step: number) => (() => Promise<void>) | undefined;
}

export interface Trained {
  /** Of the last step. */
  readonly loss: number;
  /** Targets that counted, over all steps. */
  readonly tokens: number;
  /** Steps alone, without what came between them. */
  readonly train_ms: number;
  /** The last step that counts: fewer than asked for if the loop was halted. */
  readonly step: number;
}

/** Default number of steps in flight: workers start the next step before the coordinator has the results of the last. */
const stepsAhead = 4;

/**
 * Dispatches all steps of a run in order, ahead of their results.
 *
 *     dispatch  1 2 3 4 . 5 . 6 …          a step is dispatched when the one four before it is done,
 *     done              1   2   3 …        and none is across a step after which something else is to be done
 *
 * @throws LAP_LOSS_NOT_FINITE naming the step; the signal's reason
 */
export async function trainingLoop(options: TrainingLoopOptions): Promise<Trained> {
  const { programs, steps, signal, clock, from = 0, drain } = options;
  const timer = new StepTimer(clock);
  const underWay: { readonly step: number; readonly metrics: Promise<StepMetrics> }[] = [];
  const total = { loss: Number.NaN, tokens: 0, train_ms: 0, step: from };

  const finishOldest = async (): Promise<void> => {
    const oldest = underWay.shift();
    if (oldest === undefined) return;
    const { step, metrics } = oldest;
    const result = await raceAbort(metrics, signal);
    const { loss, grad_norm, learning_rate, tokens_counted } = result;
    checkFinite(step, loss, grad_norm);
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
      grad_norm,
      learning_rate,
      tokens_per_s: (options.tokensPerStep * 1000) / mean_ms,
      step_ms: last_ms,
      eta_s: ((steps - step) * mean_ms) / 1000,
    });
  };

  for (let step = from + 1; step <= steps && drain?.aborted !== true; step++) {
    const metrics = programs.train(step - 1);
    metrics.catch(() => undefined);
    underWay.push({ step, metrics });
    for (let wait = options.backpressure?.(step); wait !== undefined; wait = options.backpressure?.(step))
      await (underWay.length > 1 ? finishOldest() : wait());
    options.dispatched?.(step);
    const between = options.between(step);
    const ahead = options.ahead?.(step) ?? stepsAhead;
    while (underWay.length >= (between === undefined && step < steps ? ahead : 1)) await finishOldest();
    if (between !== undefined) await timer.pause(between);
  }
  while (underWay.length > 0) await finishOldest();
  return total;
}

function checkFinite(step: number, loss: number, gradNorm: number): void {
  if (Number.isFinite(loss) && Number.isFinite(gradNorm)) return;
  const what = Number.isFinite(loss) ? `the gradients' norm is ${gradNorm}` : `the loss is ${loss}`;
  throw new LapidaryError({
    code: "LAP_LOSS_NOT_FINITE",
    message: `${what} at step ${step}: training has diverged`,
    place: `step ${step}`,
  });
}
