import { LapidaryError, assert, raceAbort } from "@lapidary/std";
import { EpochStaleError, CheckpointStore, type VerifiedCheckpoint, type Fence, StepLog, firstDigest } from "@lapidary/checkpoint";
import { eventError, type RunEventOf } from "@lapidary/api/run-events";
import { CheckpointWriter } from "./checkpoint-writer.js";
import { ReplicationInterval } from "./replication-interval.js";
import { FailureCounter } from "./failure-counter.js";
import { isRecoverable, lossSpike, onBatch, tooManySkipped } from "./recovery-errors.js";
import type { StepMetrics } from "../recipes/recipe.js";
import type { AttemptState, BadBatchPolicy, CapturedState, TrainOptions, TrainResult, TrainingAttempt } from "./train-options.js";
import { trainingLoop } from "./training-loop.js";

/**
 * Trains a run to its end and recovers from failures. Every step is a transaction:
 *
 *     dispatched ─► computed by all workers (their answers are the votes) ─► committed to the step log ─► reported ─► written as a checkpoint
 *         ├─► replicated in the workers' memory                                                                          │
 *         └─► captured for a checkpoint, if one is due ──────────────────────────────────────────────────────────────────┘
 *
 * None of this delays the next step: a state is captured in the order of steps, and written while later steps are computed. Two checkpoints may be in
 * flight; training waits before it captures a third.
 *
 * When an attempt fails, a new worker group under a new epoch restores the newest state that the step log confirms. The sources, in order: replicas
 * in the memory of the remaining workers, the newest checkpoint without damage, the initialization. Training repeats the steps after that state.
 * Batches are functions of the step, and reductions have a fixed order. So a repeated step has the same result, which the step log checks.
 *
 * @throws LAP_EPOCH_STALE if another coordinator has taken over the run; LAP_STEP_FAILS if one step fails three times; LAP_CHECKPOINT_WRITE if the last checkpoint cannot be written; an error that is not
 * recoverable; the reason of `signal`; the reason of `drain`, once the checkpoint is written
 */
export async function trainWithRecovery<A extends TrainingAttempt>(options: TrainOptions<A>): Promise<TrainResult> {
  const { events, signal } = options;
  const writer = new CheckpointWriter({
    written: ({ path, manifest }) => {
      const bytes = Object.values(manifest.files).reduce((sum, file) => sum + file.bytes, 0);
      events.emit({ type: "checkpoint_written", step: manifest.step, path, bytes });
    },
    refused: (step, error) => events.emit({ type: "checkpoint_failed", step, error: eventError(error) }),
  });
  const failures = new FailureCounter();
  let cause: LapidaryError | undefined;
  let before: AttemptRunner<A> | undefined;
  for (;;) {
    signal.throwIfAborted();
    // The checkpoint in flight is valid: its write ends before its writer is superseded.
    await raceAbort(writer.idle(), signal);
    before?.refuseIfSuperseded();
    const attempt = new AttemptRunner(options, options.claim(), writer, failures, cause);
    before = attempt;
    try {
      return await attempt.run();
    } catch (error) {
      cause = attempt.settle(error);
    }
  }
}

/** Not a failure: the attempt ends so that another with more workers can start. The loop waits for its checkpoint. */
class Regroup extends Error {}

/** Number of steps whose mean loss defines a spike. */
const spikeWindow = 20;

/** Whether the step would harm the run, and the policy allows the run to skip its batch. */
function isBadBatch(error: LapidaryError, guard: BadBatchPolicy | undefined): boolean {
  return error.code === "LAP_LOSS_SPIKE" || (error.code === "LAP_LOSS_NOT_FINITE" && guard?.not_finite === "skip");
}

/** Maximum number of checkpoints that are captured and not written: each is a copy of the state. */
const maxCheckpoints = 2;

/** One attempt, under one epoch. */
class AttemptRunner<A extends TrainingAttempt> {
  readonly #options: TrainOptions<A>;
  readonly #fence: Fence;
  readonly #writer: CheckpointWriter;
  readonly #failures: FailureCounter;
  /** The error that ended the previous attempt. */
  readonly #cause: LapidaryError | undefined;
  readonly #stepLog: StepLog;
  readonly #store: CheckpointStore;
  readonly #replicas = new ReplicationInterval();
  /** The step that was dispatched last. */
  #reached = 0;
  /** Whether a checkpoint is due after the step that was dispatched last. */
  #due = { step: 0, saves: false };
  /** Captured states, by step, until the step is committed and the work after it is done. */
  readonly #captured = new Map<number, Promise<CapturedState>>();
  #lastCaptured: number | undefined;
  /** The step after which other work is done before the next step. */
  #pausing: number | undefined;
  #isReported = false;
  /** The interval between replicas that was reported last. */
  #replicaInterval = 0;
  /** The worker group has failed or is being closed. */
  #isOver = false;
  #isNew = false;
  /** The checkpoint that the state was loaded from. */
  #source: VerifiedCheckpoint | undefined;

  constructor(
    options: TrainOptions<A>,
    fence: Fence,
    writer: CheckpointWriter,
    failures: FailureCounter,
    cause: LapidaryError | undefined,
  ) {
    const { disk, directory, checkpoints, failpoints, events } = options;
    this.#options = options;
    this.#fence = fence;
    this.#writer = writer;
    this.#failures = failures;
    this.#cause = cause;
    this.#stepLog = new StepLog(disk, directory, fence);
    const onDeleted = (step: number): void => events.emit({ type: "checkpoint_deleted", step });
    this.#store = new CheckpointStore({ disk, directory: checkpoints, fence, failpoints, onDeleted });
  }

  /**
   * Reports how the attempt ended.
   *
   * @returns the error that the next attempt recovers from; undefined if nothing has failed
   * @throws the error, if no other attempt follows
   */
  settle(error: unknown): LapidaryError | undefined {
    const { signal, drain, events } = this.#options;
    if (signal.aborted) {
      this.#ended("stopped");
      throw signal.reason;
    }
    if (drain.aborted && error === drain.reason) {
      this.#ended("drained");
      throw error;
    }
    if (error instanceof Regroup) {
      this.#ended("regrouped");
      return undefined;
    }
    try {
      if (this.#skipsBatch(error)) {
        this.#ended("batch_skipped");
        return error;
      }
    } catch (refused) {
      if (refused instanceof LapidaryError) this.#fail(refused, false);
      throw refused;
    }
    const step = this.#stepLog.last + 1;
    const batch = events.batchName(this.#stepLog.batchOf(step));
    if (!isRecoverable(error)) {
      if (error instanceof LapidaryError) this.#fail(error, false);
      throw onBatch(error, step, batch);
    }
    this.#report(error);
    this.#failures.count(step, this.#reached >= step, error, batch);
    return error;
  }

  /** A coordinator whose run another one has taken over does not take it back. @throws LAP_EPOCH_STALE */
  refuseIfSuperseded(): void {
    try {
      this.#fence.check();
    } catch (error) {
      if (error instanceof LapidaryError) this.#fail(error, false);
      throw error;
    }
  }

  #ended(reason: RunEventOf<"attempt_ended">["reason"]): void {
    this.#options.events.emit({ type: "attempt_ended", attempt: this.#fence.epoch, step: this.#stepLog.last, reason });
  }

  #fail(error: LapidaryError, recoverable: boolean): void {
    const [{ events }, attempt] = [this.#options, this.#fence.epoch];
    if (error instanceof EpochStaleError) events.emit({ type: "superseded", attempt, by: error.newest });
    events.emit({ type: "attempt_failed", attempt, step: this.#stepLog.last + 1, error: eventError(error), recoverable });
  }

  /** The attempt has failed: reports it once, before its worker group is closed. */
  #report(error: LapidaryError): void {
    if (this.#isReported) return;
    this.#isReported = true;
    this.#options.goodput.fail();
    this.#fail(error, true);
  }

  /** Whether the run skips the batch of the failure from now on. @throws the error, naming the batch, if the maximum is reached */
  #skipsBatch(error: unknown): error is LapidaryError {
    const { guard, events } = this.#options;
    if (!(error instanceof LapidaryError) || !isBadBatch(error, guard) || guard === undefined) return false;
    const next = this.#stepLog.last + 1;
    if (this.#stepLog.skips.length >= guard.max_skipped)
      throw tooManySkipped(guard.max_skipped, next, events.batchName(this.#stepLog.batchOf(next)), error);
    const { skip, step } = this.#stepLog.skip(`${error.code}: ${error.message}`);
    this.#options.goodput.fail();
    events.emit({ type: "batch_skipped", step, batch: skip, error: eventError(error) });
    return true;
  }

  async run(): Promise<TrainResult> {
    const { open, signal, events } = this.#options;
    events.emit({ type: "attempt_started", attempt: this.#fence.epoch });
    const opening = open(this.#fence.epoch);
    let attempt: A;
    try {
      attempt = await raceAbort(opening, signal);
    } catch (error) {
      // The caller does not wait for the attempt any more: it is closed as soon as it is open.
      opening.then(
        (late) => late.close(false),
        () => undefined,
      );
      throw error;
    }
    const training = this.#train(attempt);
    let keepReplicas = false;
    try {
      const result = await raceAbort(Promise.race([training, failureOf(attempt)]), signal);
      this.#ended("finished");
      return result;
    } catch (error) {
      if (isRecoverable(error) && !signal.aborted) this.#report(error);
      keepReplicas =
        (isRecoverable(error) || (error instanceof LapidaryError && isBadBatch(error, this.#options.guard))) && !signal.aborted;
      throw error;
    } finally {
      this.#isOver = true;
      await attempt.close(keepReplicas);
      // Without its worker group, training ends soon.
      await training.catch(() => undefined);
    }
  }

  async #train(attempt: A): Promise<TrainResult> {
    const { options, stepLog } = { options: this.#options, stepLog: this.#stepLog };
    const { state } = attempt;
    void attempt.failed.then(() => {
      this.#isOver = true;
    });
    await this.#store.sweep();
    const from = await this.#restore(state);
    this.#begin(from, attempt.layout);
    // If the state has no replica, it is replicated before the first step can fail.
    if (from.source !== "replica" && from.step < options.steps) await this.#replicate(state, from.step);
    if (from.source === "replica" && from.step > 0 && from.step < options.steps) await this.#catchUp(attempt, from.step);
    options.goodput.enter("step");
    const trained = await trainingLoop({
      programs: {
        train: (step) => {
          // Before the step is sent: a step that fails in a sequential run is never reported as dispatched.
          this.#reached = step + 1;
          return state.train(step, stepLog.batchOf(step + 1));
        },
      },
      from: from.step,
      steps: options.steps,
      tokensPerStep: options.tokensPerStep,
      signal: options.signal,
      drain: options.drain,
      clock: options.clock,
      isSequential: options.isSequential,
      ahead: (step) => this.#failures.ahead(step),
      backpressure: (step) => this.#backpressure(step),
      dispatched: (step) => {
        if (this.#isDue(step)) this.#capture(state, step);
        if (step < options.steps && this.#replicas.isDue(step)) void this.#replicate(state, step).catch(() => undefined);
      },
      commit: (step, metrics) => this.#commit(step, metrics),
      onRow: (row) => {
        this.#replicas.stepTook(row.step_ms);
        options.events.row(row, this.#isNew);
        if (row.step !== this.#pausing) this.#write(row.step);
      },
      between: (step) => this.#between(attempt, step),
    });
    await this.#end(attempt, trained.step);
    const checkpoint = this.#lastCheckpoint(trained.step);
    const commits = Array.from({ length: trained.step }, (_, i) => stepLog.commitOf(i + 1));
    return {
      loss: commits.at(-1)?.loss ?? trained.loss,
      tokens: commits.reduce((sum, commit) => sum + (commit?.tokens ?? options.tokensPerStep), 0),
      train_ms: trained.train_ms,
      step: trained.step,
      checkpoint,
    };
  }

  #begin({ step, digest, source }: RestoredState, layout: string): void {
    const repeated_steps = Math.max(0, this.#stepLog.last - step);
    const { attempt, rewinds } = this.#stepLog.begin(step, layout, digest, this.#failures.why);
    const code = this.#cause?.code;
    this.#options.events.emit({
      type: "state_restored",
      attempt,
      step,
      source,
      repeated_steps,
      rewinds,
      ...(code === undefined ? {} : { error_code: code }),
    });
  }

  #lastCheckpoint(step: number): VerifiedCheckpoint {
    if (this.#source?.manifest.step === step) return this.#source;
    const last = this.#writer.last;
    assert(last?.step === step, "the last step has a checkpoint", step, last?.step);
    if (last.outcome instanceof LapidaryError) throw last.outcome;
    return last.outcome;
  }

  #commit(step: number, metrics: StepMetrics): void {
    const { failpoints, goodput } = this.#options;
    failpoints.hit("before-commit", step, "c");
    this.#refuseSpike(step, metrics.loss);
    this.#isNew = this.#stepLog.commit(step, metrics);
    goodput.step(this.#isNew);
    failpoints.hit("after-commit", step, "c");
  }

  #refuseSpike(step: number, loss: number): void {
    const factor = this.#options.guard?.spike;
    if (factor === undefined || step <= this.#stepLog.last) return;
    const before = Array.from({ length: spikeWindow }, (_, i) => this.#stepLog.commitOf(step - 1 - i)?.loss).filter(
      (one) => one !== undefined,
    );
    const mean = before.reduce((sum, one) => sum + one, 0) / before.length;
    if (before.length === spikeWindow && loss > factor * mean) throw lossSpike(step, loss, mean);
  }

  async #replicate(state: AttemptState, step: number): Promise<void> {
    const { ms, bytes } = await state.replicate(step, this.#stepLog.last);
    this.#replicas.replicationTook(ms);
    const { interval } = this.#replicas;
    // One event a step would be too many: the first replica of an attempt is an event, and each one after a large change of the interval.
    const isNewInterval = interval >= 2 * this.#replicaInterval || 2 * interval <= this.#replicaInterval;
    if (this.#isOver || !isNewInterval) return;
    this.#replicaInterval = interval;
    this.#options.events.emit({ type: "replica_stored", step, bytes, interval });
  }

  #between(attempt: A, step: number): (() => Promise<void>) | undefined {
    const { options } = { options: this.#options };
    const other = options.between(attempt, step, this.#fence);
    const regroups = this.#isDue(step) && options.regroups?.wanted() === true;
    if (other === undefined && !regroups) return undefined;
    this.#pausing = step;
    return async () => {
      if (other !== undefined) {
        options.goodput.enter("evaluate");
        await other();
      }
      this.#write(step);
      if (regroups) {
        options.goodput.enter("checkpoint");
        await raceAbort(this.#writer.idle(), options.signal);
        if (await options.regroups.possible()) throw new Regroup();
      }
      options.goodput.enter("step");
    };
  }

  /** Does the work that was due after the first step of the attempt, if the previous attempt ended before it was done. */
  async #catchUp(attempt: A, step: number): Promise<void> {
    if (this.#isDue(step) && !(await this.#store.has(step))) this.#capture(attempt.state, step);
    await this.#between(attempt, step)?.();
    this.#write(step);
  }

  /** Called once for each step, because the answer may depend on the time. */
  #isDue(step: number): boolean {
    if (this.#due.step !== step) this.#due = { step, saves: step < this.#options.steps && this.#options.saves(step) };
    return this.#due.saves;
  }

  get #isFull(): boolean {
    return this.#captured.size + this.#writer.outstanding >= maxCheckpoints;
  }

  /** Returns a wait if a checkpoint of `step` cannot be captured yet. */
  #backpressure(step: number): (() => Promise<void>) | undefined {
    if (!this.#isDue(step) || !this.#isFull) return undefined;
    return async () => {
      const { goodput, signal } = this.#options;
      goodput.enter("checkpoint");
      await raceAbort(this.#writer.oldest(), signal);
      goodput.enter("step");
    };
  }

  /** Dispatches the capture. Later requests do not change the captured state. */
  #capture(state: AttemptState, step: number): void {
    const captured = state.capture(step);
    // It is awaited after the step is committed. The attempt may have failed by then.
    captured.catch(() => undefined);
    this.#captured.set(step, captured);
    this.#lastCaptured = step;
  }

  /** Writes the checkpoint of a committed step, if one was taken, while training continues. */
  #write(step: number): void {
    const captured = this.#captured.get(step);
    if (captured === undefined) return;
    this.#captured.delete(step);
    const digest = this.#stepLog.digestAt(step);
    assert(digest !== undefined, "a checkpoint is of a committed step", step, this.#stepLog.last);
    let state: CapturedState | undefined;
    this.#writer.write({
      step,
      store: this.#store,
      keep: this.#options.keep,
      content: async () => {
        try {
          state = await captured;
        } catch (error) {
          // The next attempt captures its own states.
          if (this.#isOver) return undefined;
          throw error;
        }
        // A checkpoint never contains more steps than the step log and the journal on disk.
        this.#stepLog.sync();
        this.#options.events.sync();
        return state.content(digest);
      },
      done: () => state?.release(),
    });
  }

  async #end(attempt: A, step: number): Promise<void> {
    const { drain, finish, goodput, signal, steps } = this.#options;
    goodput.enter("checkpoint");
    if (this.#source?.manifest.step !== step && this.#lastCaptured !== step) {
      while (this.#isFull) await raceAbort(this.#writer.oldest(), signal);
      this.#capture(attempt.state, step);
      this.#write(step);
    }
    if (step < steps) {
      await raceAbort(this.#writer.idle(), signal);
      drain.throwIfAborted();
    }
    goodput.enter("evaluate");
    await finish(attempt, this.#fence);
    goodput.enter("checkpoint");
    await raceAbort(this.#writer.idle(), signal);
  }

  async #restore(state: AttemptState): Promise<RestoredState> {
    const { events } = this.#options;
    const remembered = await state.restoreReplicas(Math.min(this.#stepLog.last, events.reported()));
    if (remembered !== undefined) return { step: remembered, digest: this.#stepLog.digestAt(remembered), source: "replica" };
    const rejected = (error: LapidaryError, step: number): void =>
      events.emit({ type: "checkpoint_rejected", step, error: eventError(error) });
    const checkpoint = await this.#store.newest(rejected, this.#options.steps);
    if (checkpoint !== undefined) {
      const { step, ledger } = checkpoint.manifest;
      events.emit({ type: "checkpoint_verified", step, path: checkpoint.path });
      await state.load(checkpoint);
      this.#source = checkpoint;
      return { step, digest: ledger, source: "checkpoint" };
    }
    await state.initialize();
    return { step: 0, digest: firstDigest, source: "initialization" };
  }
}

/** A state that training continues from. */
interface RestoredState {
  readonly step: number;
  readonly digest: string | undefined;
  readonly source: "initialization" | "replica" | "checkpoint";
}

async function failureOf(attempt: TrainingAttempt): Promise<never> {
  throw await attempt.failed;
}
