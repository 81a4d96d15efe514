import type { Warning } from "@lapidary/std";
import { klTooLarge, samplerGap, wrongReference } from "./rl-errors.js";
import type { RlGuard } from "./rl-settings.js";
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

export function warningsOfStep(k: number, { completions }: RlStepMetrics): Warning[] {
  const { cutOffShare } = completions;
  if (cutOffShare <= usualCutOffShare) return [];
  return [
    {
      code: "LAP_RL_CUT_OFF_SHARE",
      message: `${(100 * cutOffShare).toFixed(0)} % of the completions did not end within their tokens`,
      place: `step ${k}`,
      remedy: "raise the number of new tokens, or fine-tune the policy on completions that end",
    },
  ];
}
