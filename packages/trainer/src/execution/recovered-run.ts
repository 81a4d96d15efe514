import { join } from "node:path";
import type { GoodputReport } from "@lapidary/api";
import { isTraced, StepTraceLog } from "@lapidary/api/step-traces";
import { WorkerStepLog, workerStepOf } from "@lapidary/api/worker-steps";
import { nodeDisk, RunFence } from "@lapidary/checkpoint";
import type { WorkerGroup } from "@lapidary/cluster";
import { epochOf } from "@lapidary/protocol";
import { type Run, runFiles } from "@lapidary/telemetry";
import { meshOf, type ResolvedJob, type ResolvedStepJob } from "@lapidary/training";
import type { ExecutionOptions } from "./execution-options.js";
import type { Goodput } from "./goodput.js";
import type { RunPrograms } from "./run-programs.js";
import { recordGroup, release, startWorkers } from "./start-workers.js";
import type { Stopwatch } from "./stopwatch.js";
import { Stragglers } from "./stragglers.js";
import type { TrainingAttempt, TrainOptions } from "./train-options.js";
import type { WorkerCountPolicy } from "./worker-count-policy.js";

/** What runs of models of Lapidary and of exported steps have in common. */
export interface RunOptions extends Omit<ExecutionOptions, "job"> {
  readonly job: ResolvedJob | ResolvedStepJob;
}

/** Starts the workers of an attempt and records them. If `use` fails, the workers return to the pool. */
export async function withWorkers<T>(
  { run, job, slice, startGroup }: RunOptions,
  { watch, workerCount, epoch }: { readonly watch: Stopwatch; readonly workerCount: WorkerCountPolicy; readonly epoch: number },
  use: (group: WorkerGroup) => Promise<T>,
): Promise<T> {
  const group = await watch.time("place", () =>
    startWorkers(run, workerCount, startGroup, {
      mesh: meshOf(job),
      numerics: job.numerics,
      executor: job.executor,
      epoch: epochOf(epoch),
      stallAfterMs: job.stall_timeout_s * 1000,
    }),
  );
  try {
    run.enter(run.state === "running" ? "running" : "placing", {
      activity: { what: "load programs" },
      workers: group.pids.map((pid, worker) => ({ worker, pid })),
    });
    recordGroup(run, epoch, slice, group.pids, workerCount);
    return await use(group);
  } catch (error) {
    await release(group, run, true);
    throw error;
  }
}

/** Writes the times of the workers in each step to the files of the run. */
export class StepObserver {
  readonly #steps: WorkerStepLog;
  readonly #stragglers = new Stragglers();
  #traces: StepTraceLog | undefined;

  /** @param every the steps between two traces; 0 records none */
  constructor(
    private readonly run: Run,
    private readonly every: number,
  ) {
    this.#steps = new WorkerStepLog(run.directory);
  }

  /** Opens the file of the traces, if the job wants any. */
  async open(programs: Pick<RunPrograms, "describe">): Promise<void> {
    if (this.every > 0) this.#traces = new StepTraceLog(this.run.directory, await programs.describe());
  }

  /** Whether a step is recorded. @param steps of the job */
  traces(step: number, steps: number): boolean {
    return this.#traces !== undefined && isTraced(step, this.every, steps);
  }

  trained(report: Parameters<typeof workerStepOf>[0]): void {
    this.#steps.append(workerStepOf(report));
    this.#traces?.append(report);
    for (const { worker, times } of this.#stragglers.step(report)) this.run.record({ type: "straggler_found", worker, factor: times });
  }
}

/** Default of the maximum work that is lost if all processes end, for a job without `checkpoint.every`. */
const maxAtRisk_ms = 60_000;

type SharedRecovery = Pick<
  TrainOptions<TrainingAttempt>,
  "disk" | "directory" | "checkpoints" | "claim" | "regroups" | "keep" | "saves" | "clock" | "signal" | "drain" | "failpoints" | "goodput"
>;

/** The files, workers, checkpoints and signals of a run, for `trainWithRecovery`. */
export function recoveryOf(
  { run, job, clock, signal, drain, failpoints, hasWorkers }: RunOptions,
  workerCount: WorkerCountPolicy,
  goodput: Goodput,
): SharedRecovery {
  let lastDurable_ms = clock.monotonic();
  const { every, keep } = job.checkpoint;
  return {
    disk: nodeDisk,
    directory: run.directory,
    checkpoints: join(run.directory, runFiles.checkpoints),
    claim: () => RunFence.claim(nodeDisk, run.directory),
    regroups: {
      wanted: () => workerCount.missing > 0,
      possible: async () => {
        if (!(await hasWorkers(workerCount.missing))) return false;
        const from = workerCount.current;
        workerCount.complete();
        run.record({ type: "worker_count_changed", from, to: workerCount.current, wanted: workerCount.wanted });
        return true;
      },
    },
    keep,
    saves: (step) => {
      const wanted = (every !== undefined && step % every === 0) || clock.monotonic() - lastDurable_ms > maxAtRisk_ms;
      if (wanted) lastDurable_ms = clock.monotonic();
      return wanted;
    },
    clock,
    signal,
    drain,
    failpoints: failpoints.observedBy((firing) => run.record({ type: "fault_injected", ...firing })),
    goodput,
  };
}

/** Records the times of a run that has trained. @param earlier the accounting when this execution began */
export function recordTimes(run: Run, watch: Stopwatch, train_ms: number, goodput: Goodput, earlier: GoodputReport): void {
  watch.add("train", train_ms);
  const report = goodput.report();
  // A timer of this execution alone, like everything that it measures.
  watch.add("checkpoint", report.lost_ms.checkpoint - earlier.lost_ms.checkpoint);
  run.goodput(report);
}
