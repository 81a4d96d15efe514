import type { Activity, JobState, TrainRow } from "@lapidary/api";
import { formatCount, formatDuration } from "@lapidary/std";

/** `step 120/400  loss 3.214  12.3 K tokens/s  ETA 1m 20s` */
export function stepLine(
  { step, loss, tokens_per_s, eta_s }: Pick<TrainRow, "step" | "loss" | "tokens_per_s" | "eta_s">,
  steps: number,
): string {
  const end = step >= steps ? [] : [`ETA ${formatDuration(eta_s * 1000)}`];
  return [
    `step ${String(step).padStart(String(steps).length)}/${steps}`,
    `loss ${loss.toFixed(3)}`,
    `${formatCount(Math.round(tokens_per_s))} tokens/s`,
    ...end,
  ].join("  ");
}

/** `train the tokenizer 31%`, `compile 1/4` */
export const activityText = (activity: Activity): string => `${activity.what} ${shareText(activity)}`.trimEnd();

/** The progress of an activity; empty if it is unknown, or consists of one item. */
export function shareText({ done, total }: Activity): string {
  if (done === undefined || (total !== undefined && total <= 1)) return "";
  if (total === undefined) return String(done);
  return total < 100 ? `${done}/${total}` : `${Math.floor((100 * done) / total)}%`;
}

/** The meaning of a state in a sentence about a job. */
export const stateMeaning: Readonly<Record<JobState, string>> = {
  queued: "waits in the queue",
  compiling: "is being prepared",
  placing: "waits for chips",
  running: "runs",
  done: "is done",
  failed: "failed",
  cancelled: "was cancelled",
};
