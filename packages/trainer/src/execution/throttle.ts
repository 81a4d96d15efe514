import type { Clock } from "@lapidary/std";

/** How far a piece of work is. */
export interface Progress {
  readonly what: string;
  readonly done: number;
  readonly total: number;
}

/** A progress bar needs no shorter interval. */
const every_ms = 200;

/** Reports progress at most once in `every_ms`, and always the first and the last of each kind. */
export function throttle(clock: Clock, report: (activity: Progress) => void): (activity: Progress) => void {
  let last: { readonly what: string; readonly at_ms: number } | undefined;
  return (activity) => {
    const now = clock.monotonic();
    if (last?.what === activity.what && activity.done < activity.total && now - last.at_ms < every_ms) return;
    last = { what: activity.what, at_ms: now };
    report(activity);
  };
}
