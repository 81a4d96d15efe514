import type { Clock } from "@lapidary/std";

/** How far a piece of work is. */
export interface Progress {
  readonly what: string;
  readonly done: number;
  readonly total: number;
}

/** Nobody reads a progress bar faster. */
const every_ms = 200;

/** Tells of progress a few times a second: the first and the last of each kind always, of what lies between some. */
export function sparingly(clock: Clock, tell: (activity: Progress) => void): (activity: Progress) => void {
  let told: { readonly what: string; readonly at_ms: number } | undefined;
  return (activity) => {
    const now = clock.monotonic();
    if (told?.what === activity.what && activity.done < activity.total && now - told.at_ms < every_ms) return;
    told = { what: activity.what, at_ms: now };
    tell(activity);
  };
}
