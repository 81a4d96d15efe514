import { eventError } from "@lapidary/api/run-events";
import { nodeDisk, RunFence } from "@lapidary/checkpoint";
import type { WorkerGroup } from "@lapidary/cluster";
import { epochOf } from "@lapidary/protocol";
import { type Failpoints, type JsonValue, raceAbort } from "@lapidary/std";
import { type ExecutionOptions, isRecoverable, recordGroup, release, startWorkers, WorkerCountPolicy } from "@lapidary/trainer";
import { meshOf } from "@lapidary/training";
import { UnitLog } from "./unit-log.js";

/** Maximum number of failures of one unit. */
const maxFailures = 3;

/** The worker groups of a run, one after the other. */
export class RunWorkers {
  readonly #count: WorkerCountPolicy;
  readonly failpoints: Failpoints;

  constructor(
    readonly options: ExecutionOptions,
    readonly units: UnitLog,
  ) {
    this.#count = new WorkerCountPolicy(options.workers);
    this.failpoints = options.failpoints.observedBy((firing) => options.run.record({ type: "fault_injected", ...firing }));
  }

  /** Worker processes of a group. */
  get size(): number {
    return this.#count.current;
  }

  async start(): Promise<{ readonly group: WorkerGroup; readonly epoch: number }> {
    const { run, job, slice, startGroup } = this.options;
    const { epoch } = RunFence.claim(nodeDisk, run.directory);
    const group = await startWorkers(run, this.#count, startGroup, {
      mesh: meshOf(job),
      numerics: job.numerics,
      executor: job.executor,
      epoch: epochOf(epoch),
      stallAfterMs: job.stall_timeout_s * 1000,
    });
    run.enter("running", { workers: group.pids.map((pid, worker) => ({ worker, pid })) });
    recordGroup(run, epoch, slice, group.pids, this.#count);
    return { group, epoch };
  }
}

/**
 * A model on the workers of a run. Its work is a sequence of units, whose results are in the log of units. If a worker fails, another group of workers
 * computes the unit again. If the coordinator ends, the next one skips the units that the log has.
 *
 * A unit is a function of its inputs and the weights, so its result does not depend on interruptions.
 */
export class RecoveringModel<M> {
  #open: { readonly group: WorkerGroup; readonly epoch: number; readonly model: M } | undefined;

  /** @param load loads the weights into a new group */
  constructor(
    private readonly workers: RunWorkers,
    private readonly load: (group: WorkerGroup) => Promise<M>,
  ) {}

  /** @param inputs everything that the result depends on, as JSON */
  async unit<T>(inputs: object, work: (model: M) => Promise<T>): Promise<T> {
    const { units, options, failpoints } = this.workers;
    const key = UnitLog.keyOf(inputs);
    const known = units.get(key);
    if (known !== undefined) return known as T;
    for (let failures = 1; ; failures++) {
      options.signal.throwIfAborted();
      options.drain.throwIfAborted();
      const number = units.size + 1;
      try {
        failpoints.hit("before-unit", number, "c");
        const value = await raceAbort(this.#attempt(work), options.signal);
        units.append(key, value as JsonValue);
        failpoints.hit("after-unit", number, "c");
        return value;
      } catch (error) {
        await this.close();
        if (!isRecoverable(error)) throw error;
        const recoverable = failures < maxFailures;
        const { run } = options;
        run.record({ type: "attempt_failed", attempt: failures, step: 1, error: eventError(error), recoverable });
        if (!recoverable) throw error;
        run.enter("running", { activity: { what: "recover" } });
      }
    }
  }

  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined) await release(open.group, this.workers.options.run, false);
  }

  async #attempt<T>(work: (model: M) => Promise<T>): Promise<T> {
    const { group, model } = await this.#loaded();
    return Promise.race([work(model), failureOf(group)]);
  }

  async #loaded(): Promise<{ readonly group: WorkerGroup; readonly model: M }> {
    if (this.#open !== undefined) return this.#open;
    const { group, epoch } = await this.workers.start();
    try {
      const model = await Promise.race([this.load(group), failureOf(group)]);
      this.#open = { group, epoch, model };
      return this.#open;
    } catch (error) {
      await release(group, this.workers.options.run, false);
      throw error;
    }
  }
}

async function failureOf({ failed }: WorkerGroup): Promise<never> {
  throw await failed;
}
