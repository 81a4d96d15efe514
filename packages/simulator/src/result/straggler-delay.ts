import type { Machine } from "../machine.js";
import type { StepList } from "../timeline/step-list.js";

/**
 * Expected delay of a step by its slowest pod, in seconds, if the step has collectives between pods. The delay of each pod is an
 * exponentially distributed share of the step (Lee et al. 2018, "Speeding up distributed machine learning using codes"). The
 * largest of n such delays is on average Hₙ = 1 + ½ + … + 1/n times their mean. The mean delay of one pod is already part of the
 * other constants. Inside a pod, chips wait for each other at every collective.
 */
export function stragglerDelay({ transfers }: StepList, { pods, chip }: Machine, seconds: number): number {
  const coupled = transfers.some(({ stages }) => stages.some(({ resources }) => resources.includes("dcn")));
  return coupled ? seconds * chip.calibrated.pod_delay * (harmonic(pods) - 1) : 0;
}

const harmonic = (n: number): number => (n === 0 ? 0 : harmonic(n - 1) + 1 / n);
