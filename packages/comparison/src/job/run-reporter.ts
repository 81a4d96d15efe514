import type { ExecutionOptions } from "@lapidary/trainer";
import type { ComparisonReporter } from "../reporter.js";

/** Shortest time between two reports of one phase. */
const interval_ms = 500;

/** Shows the progress of a comparison as the activity of its run, and its warnings as those of the run. */
export function reporterOfRun({ run, clock, signal }: Pick<ExecutionOptions, "run" | "clock" | "signal">): ComparisonReporter {
  let last: { readonly phase: string; readonly time: number } | undefined;
  return {
    progress: (phase) => {
      if (signal.aborted || last?.phase === phase) return;
      last = { phase, time: Number.NEGATIVE_INFINITY };
      run.enter("running", { activity: { what: phase } });
    },
    count: (phase, done, total) => {
      const time = clock.monotonic();
      if (signal.aborted || (done < total && last !== undefined && last.phase === phase && time - last.time < interval_ms)) return;
      last = { phase, time };
      run.enter("running", { activity: { what: phase, done, total } });
    },
    warn: (warning) => run.warn([warning]),
  };
}
