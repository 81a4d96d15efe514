import type { MeanAndStd } from "../metrics/statistics.js";

/** Standard deviations from the mean that answers of another kind exceed. */
const deviations = 3;

/**
 * Whether the mean score of samples is far from the scores that a reward model gave its own held-out answers. It then sees answers of another kind than in
 * its training, such as answers with another end.
 *
 * @param known of single answers
 */
export const isForeignScore = (samples: number, { mean, std }: MeanAndStd): boolean => Math.abs(samples - mean) > deviations * std;
