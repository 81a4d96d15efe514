import type { Machine } from "../simulate.js";
import type { StepList } from "../timeline/step-list.js";

/**
 * Expected wait for the slowest pod, where a step couples pods: each takes the step's time, scattered by a normal distribution of the calibrated width, and the step
 * takes the longest of them. Inside a pod, links couple chips at every collective; what this costs is part of the other constants.
 */
export function podWait({ transfers }: StepList, { pods, chip }: Machine, seconds: number): number {
  const coupled = transfers.some(({ stages }) => stages.some(({ resources }) => resources.includes("dcn")));
  return coupled ? seconds * chip.calibrated.pod_jitter * expectedMaximum(pods) : 0;
}

/** Mean of the largest of n standard normal numbers: ∫ x · n φ(x) Φ(x)ⁿ⁻¹ dx. */
export function expectedMaximum(n: number): number {
  const step = 0.01;
  let [sum, below] = [0, 0];
  for (let x = -6; x < 8; x += step) {
    const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
    below += density * step;
    sum += x * n * density * Math.min(1, below) ** (n - 1) * step;
  }
  return sum;
}
