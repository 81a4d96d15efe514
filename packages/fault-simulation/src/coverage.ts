import type { RunEvent } from "@lapidary/api/run-events";

/** `fault`: a fault in a state of a run. `transition`: two events of a run, one after the other. `end`: how an execution ended. */
export type CoverageKind = "state" | "fault" | "transition" | "end";

/** The situations and transitions that simulations have reached, and how often. */
export class Coverage {
  readonly counts = new Map<string, number>();
  /** By run: its last event. */
  readonly #last = new Map<string, string>();

  add(kind: CoverageKind, what: string, times = 1): void {
    const key = `${kind}: ${what}`;
    this.counts.set(key, (this.counts.get(key) ?? 0) + times);
  }

  event(run: string, event: RunEvent): void {
    const name = nameOf(event);
    this.add("transition", `${this.where(run)} → ${name}`);
    this.#last.set(run, name);
  }

  /** The last event of a run. */
  where(run: string): string {
    return this.#last.get(run) ?? "before the first event";
  }

  merge({ counts }: Pick<Coverage, "counts">): void {
    for (const [key, times] of counts) this.counts.set(key, (this.counts.get(key) ?? 0) + times);
  }
}

/** An event without values that differ between runs. */
function nameOf(event: RunEvent): string {
  switch (event.type) {
    case "state_restored":
      return `${event.type} from ${event.source}${event.rewinds ? ", rewinds" : ""}`;
    case "attempt_ended":
      return `${event.type}: ${event.reason}`;
    case "attempt_failed":
      return `${event.type}: ${event.error.code}`;
    case "worker_evicted":
      return `${event.type}: ${event.reason}`;
    default:
      return event.type;
  }
}
