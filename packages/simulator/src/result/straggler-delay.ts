import type { Machine } from "../machine.js";
import type { StepList } from "../timeline/step-list.js";

/**
 * Expected wait for the last pod, where a step couples pods: each is late by an exponentially distributed share of the step (Lee et al. 2018, "Speeding up distributed machine learning
 * using codes"), and the step ends with the last. The largest of n such delays is Hₙ = 1 + ½ + … + 1/n times their mean; one pod's own is part of the other constants. Inside a pod,
 * links couple chips at every collective.
 */
export function stragglerDelay({ transfers }: StepList, { pods, chip }: Machine, seconds: number): number {
  const coupled = transfers.some(({ stages }) => stages.some(({ resources }) => resources.includes("dcn")));
  return coupled ? seconds * chip.calibrated.pod_delay * (harmonic(pods) - 1) : 0;
}

const harmonic = (n: number): number => (n === 0 ? 0 : harmonic(n - 1) + 1 / n);
