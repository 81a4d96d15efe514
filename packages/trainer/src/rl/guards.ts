import { isForeignScore, type MeanAndStd, NegativeKl, negativeKlSteps } from "@lapidary/evaluation";
import type { Warning } from "@lapidary/std";
import type { ParameterSet } from "./program-host.js";
import { klTooLarge, samplerGap, wrongReference } from "./rl-errors.js";
import type { RewardSource, RlGuard } from "./rl-settings.js";
import type { RlStepMetrics } from "./step-metrics.js";

/** Default bound of |log-probability of the sampler − of the trainer|. */
const usualGap = 1e-3;

/** KL of equal models, within rounding: nats a token. */
const noKl = 1e-6;

/**
 * Stops a run whose sampler, reference or KL is wrong. A step whose loss or gradients are not finite passes: `train.guard` decides about it.
 *
 * @param k number of the step, from 0
 * @throws LAP_RL_SAMPLER_GAP, LAP_RL_REFERENCE, LAP_RL_KL
 */
export function checkStep(k: number, { loss, gradNorm, logProbGap, kl }: RlStepMetrics, guard: RlGuard = {}): void {
  if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) return;
  const { logProbGap: gapBound = usualGap, kl: klBound = Number.POSITIVE_INFINITY } = guard;
  if (!(logProbGap.max <= gapBound)) throw samplerGap(k, logProbGap.max, gapBound);
  if (k === 0 && !(kl.full <= noKl)) throw wrongReference(kl.full);
  if (!(kl.full <= klBound)) throw klTooLarge(k, kl.full, klBound);
}

/** More cut-off completions than this share cause a warning. */
const usualCutOffShare = 0.05;

/** What a run warns about, step by step. The warnings change no step, so a new attempt may count from the start. */
export class StepWatch {
  readonly #negativeKl = new NegativeKl();

  /** @param known scores of a reward model's own held-out answers, by parameter set */
  constructor(
    private readonly sources: readonly RewardSource[],
    private readonly known: ReadonlyMap<ParameterSet, MeanAndStd>,
  ) {}

  /** @param k number of the step, from 0 */
  warningsOf(k: number, metrics: RlStepMetrics): readonly Warning[] {
    const isNegative = this.#negativeKl.add(metrics.kl.k1);
    return [
      ...cutOffWarnings(k, metrics.completions.cutOffShare),
      ...(isNegative ? [negativeKlWarning(k, metrics.kl.k1)] : []),
      ...(k === 0 ? this.#foreignScores(metrics) : []),
    ];
  }

  /** The first policy is the one that was fine-tuned: a reward model knows answers like its own. */
  #foreignScores({ rewards }: RlStepMetrics): Warning[] {
    return this.sources.flatMap((source) => {
      const [samples, known] = [rewards.get(source.name), source.kind === "model" ? this.known.get(source.set) : undefined];
      if (source.kind !== "model" || samples === undefined || known === undefined) return [];
      const score = samples.mean / source.scale + source.shift;
      return source.scale !== 0 && isForeignScore(score, known) ? [foreignScoreWarning(source.name, score, known)] : [];
    });
  }
}

function cutOffWarnings(k: number, share: number): Warning[] {
  if (share <= usualCutOffShare) return [];
  return [
    {
      code: "LAP_RL_CUT_OFF_SHARE",
      message: `${(100 * share).toFixed(0)} % of the completions did not end within their tokens`,
      place: `step ${k}`,
      remedy: "raise the number of new tokens, or fine-tune the policy on completions that end",
    },
  ];
}

const negativeKlWarning = (k: number, k1: number): Warning => ({
  code: "LAP_RL_KL_NEGATIVE",
  message: `the estimate k1 of the KL to the reference was negative for ${negativeKlSteps} steps, at last ${k1.toPrecision(3)} nats a token`,
  place: `step ${k}`,
  remedy: "compare the metrics kl and kl_k3: if they are positive, lower train.optimizer.lr or rl.iterations",
});

const foreignScoreWarning = (source: string, score: number, { mean, std }: MeanAndStd): Warning => ({
  code: "LAP_RL_SCORE_RANGE",
  message: `the reward model gives the first completions a mean score of ${score.toPrecision(3)}, and gave its own held-out answers ${mean.toPrecision(3)} with a standard deviation of ${std.toPrecision(3)}`,
  place: `reward ${source}, step 0`,
  remedy:
    "train the reward model on answers of the policy, with the same chat template and ends, and let completions end within rl.rollout.max_new_tokens",
});
