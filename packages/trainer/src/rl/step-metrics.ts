import { klEstimates, maskedMean, type RolloutMetrics, rolloutMetrics, valueMetrics, type ValueMetrics } from "@lapidary/evaluation";
import type { ArrayData, RunReport } from "@lapidary/protocol";
import { ensure } from "@lapidary/std";
import { type LogProbs, rolloutShape } from "./rl-programs.js";
import type { RlSettings } from "./rl-settings.js";
import type { DrawnRollout } from "./rollout.js";
import { type CompletionEnds, type SequenceRows, takeCompletions } from "./rollout-rows.js";
import type { RolloutScores } from "./scores.js";

/** Milliseconds of the phases of a step. `reference` is the log-probabilities of policy and reference, and the old values. */
export interface RlTimes {
  readonly prefill: number;
  readonly decode: number;
  readonly score: number;
  readonly reference: number;
  readonly update: number;
}

/** The metrics of a step. `rewards` has each source, and `score`, which is their weighted sum after the rule for cut-off completions. */
export interface RlStepMetrics extends RolloutMetrics {
  /** KL to the reference, nats a completion: mean over completions of the sum over their tokens. */
  readonly klPerCompletion: number;
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly value?: ValueMetrics & { readonly loss: number };
  readonly ms: RlTimes;
  /** Tokens of completions by the time of prefill and decode, and of rows by the time of the update. */
  readonly tokensPerSecond: { readonly rollout: number; readonly update: number };
}

export interface UpdateResult {
  readonly report: RunReport;
  /** Arrays of the last update. */
  readonly arrays: ReadonlyMap<string, ArrayData>;
}

/** What the phases of a step gave. */
export interface StepResults {
  readonly drawn: DrawnRollout;
  readonly ends: CompletionEnds;
  readonly scores: RolloutScores;
  readonly rows: SequenceRows;
  readonly before: LogProbs;
  readonly updated: UpdateResult;
  readonly ms: RlTimes;
}

export function metricsOfStep(settings: RlSettings, done: StepResults): RlStepMetrics {
  const { drawn, ends, scores, rows, before, updated, ms } = done;
  const { rollout: r, algorithm } = settings;
  const shape = rolloutShape(settings);
  const take = (values: ArrayLike<number>): Float32Array => takeCompletions(values, shape);
  const mask = take(rows.mask);
  const advantages = ensure(updated.arrays.get("advantages"), "advantages");
  const fullKl = take(before.kl);
  const number = (name: string): number => ensure(updated.report.scalars.get(name), name);
  const metrics = rolloutMetrics({
    rows: shape.batch,
    groupSize: r.generations,
    ids: drawn.completions,
    mask,
    stopIds: r.stopTokens,
    rewards: new Map([...scores.sources, ["score", scores.scores]]),
    logProbs: {
      current: take(resultOf(updated, "logps")),
      old: take(before.logps),
      reference: take(before.reference_logps),
      sampler: drawn.logps,
    },
    entropy: take(before.entropy),
    fullKl,
    advantages: advantages.dims.length === 2 ? take(advantages.data) : advantages.data,
    clip: algorithm.clip,
    ratioOf: algorithm.algorithm === "rloo" || algorithm.algorithm === "reinforce" ? "row" : "token",
  });
  // The completions are drawn from the policy before the updates, so that only its KL can be estimated from them.
  const estimates = klEstimates(take(before.logps), take(before.reference_logps), mask);
  const answered = ends.lengths.reduce((sum, length) => sum + length, 0);
  return {
    ...metrics,
    kl: { ...estimates, full: metrics.kl.full },
    klPerCompletion: (maskedMean(fullKl, mask) * answered) / shape.batch,
    loss: number("loss"),
    gradNorm: number("grad_norm"),
    learningRate: number("learning_rate"),
    ...(algorithm.algorithm === "ppo"
      ? { value: { ...valueMetricsOf(settings, done, algorithm.clipValue), loss: number("value_loss") } }
      : {}),
    ms,
    tokensPerSecond: {
      rollout: (1000 * answered) / (ms.prefill + ms.decode),
      update: (1000 * settings.iterations * shape.batch * (shape.prompt + shape.newTokens)) / ms.update,
    },
  };
}

function valueMetricsOf(settings: RlSettings, { rows, before, updated }: StepResults, clip: number): ValueMetrics {
  const take = (values: ArrayLike<number>): Float32Array => takeCompletions(values, rolloutShape(settings));
  const arrays = {
    values: take(resultOf(updated, "values")),
    oldValues: take(ensure(before.values, "values")),
    returns: take(resultOf(updated, "returns")),
  };
  return valueMetrics(arrays, take(rows.mask), clip);
}

const resultOf = ({ arrays }: UpdateResult, name: string): ArrayLike<number> => ensure(arrays.get(name), name).data;
