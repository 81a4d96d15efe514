import { LapidaryError } from "@lapidary/std";
import { isFinal } from "@lapidary/api";
import type { Run, RunStore } from "@lapidary/telemetry";

/** The state of one need of a run, from the files of the runs. */
type NeedState = "done" | "unfinished" | "failed" | "cancelled" | "lost";

/** A run that ended because its coordinator stopped can be resumed. Runs that need it wait for that. */
const isStopped = ({ summary }: Run): boolean => summary.state === "cancelled" && summary.error?.code === "LAP_COORDINATOR_STOPPED";

function stateOf(need: string, runs: RunStore): NeedState {
  const run = runs.find(need);
  if (run === undefined) return "lost";
  if (!isFinal(run.state) || isStopped(run)) return "unfinished";
  return run.state === "failed" || run.state === "cancelled" ? run.state : "done";
}

/** The needs of a run that have not ended. */
export const unfinishedNeeds = (run: Run, runs: RunStore): string[] => run.needs.filter((need) => stateOf(need, runs) === "unfinished");

/** Whether a directory is that of a need that has not ended, so that its checkpoints are pending. */
export const isUnfinishedNeed = (directory: string, run: Run, runs: RunStore): boolean =>
  unfinishedNeeds(run, runs).some((need) => runs.find(need)?.directory === directory);

/** How a run ends if one of its needs ended without success. Undefined: the run can start, or waits. */
export function endByNeeds(
  run: Run,
  runs: RunStore,
): { readonly state: "failed" | "cancelled"; readonly error: LapidaryError } | undefined {
  for (const need of run.needs) {
    const state = stateOf(need, runs);
    if (state === "done" || state === "unfinished") continue;
    return {
      state: state === "cancelled" ? "cancelled" : "failed",
      error: needError(run, need, state, runs.find(need)?.summary.error?.message),
    };
  }
  return undefined;
}

const meaning = { failed: "failed", cancelled: "was cancelled", lost: "has no files" } as const;

function needError(run: Run, need: string, state: keyof typeof meaning, why: string | undefined): LapidaryError {
  return new LapidaryError({
    code: "LAP_NEED_FAILED",
    message: `run ${run.id} did not start: run ${need}, which it needs, ${meaning[state]}${why === undefined ? "" : `: ${why}`}`,
    location: need,
    remedy:
      state === "lost"
        ? "launch the pipeline again"
        : `resume ${need} with \`lapidary jobs resume ${need}\`, then this run with \`lapidary jobs resume ${run.id}\``,
  });
}

/** Calls back when a need of a waiting run may have ended. */
export class NeedWaiters {
  readonly #waiters = new Map<string, Set<() => void>>();

  /** Resolves at the next `notify` for this run. */
  next(run: string): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(run) ?? new Set();
      this.#waiters.set(run, waiters.add(resolve));
    });
  }

  notify(run: string): void {
    const waiters = this.#waiters.get(run) ?? [];
    this.#waiters.delete(run);
    for (const resolve of waiters) resolve();
  }
}
