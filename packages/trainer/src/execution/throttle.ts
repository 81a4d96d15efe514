import type { Clock } from "@lapidary/std";

/** The progress of a piece of work. */
export interface Progress {
  readonly what: string;
  readonly done: number;
  readonly total: number;
}

/** Interval for a progress bar. */
const every_ms = 200;

/** Reports progress at most once in `every_ms`, and always the first and the last report of each kind. */
export function throttle(clock: Clock, report: (activity: Progress) => void): (activity: Progress) => void {
  let last: { readonly what: string; readonly at_ms: number } | undefined;
  return (activity) => {
    const now = clock.monotonic();
    if (last?.what === activity.what && activity.done < activity.total && now - last.at_ms < every_ms) return;
    last = { what: activity.what, at_ms: now };
    report(activity);
  };
}
