import { LapidaryError, assert } from "@lapidary/std";
import { EpochStaleError } from "@lapidary/checkpoint";
import { CheckpointStore, type VerifiedCheckpoint } from "@lapidary/checkpoint";
import type { Fence } from "@lapidary/checkpoint";
import { Ledger, firstDigest } from "@lapidary/checkpoint";
import { eventError, type RunEventOf } from "@lapidary/api/run-events";
import { orAbort } from "./abort.js";
import { CheckpointWriter } from "./checkpoint-writer.js";
import { CopyPace } from "./copy-pace.js";
import { FailureCounter } from "./failure-counter.js";
import { isRecoverable, lossSpike, onBatch, tooManySkipped } from "./recovery-errors.js";
import type { StepMetrics } from "./run-programs.js";
import type { AttemptState, Guard, TakenState, TrainOptions, TrainResult, TrainingAttempt } from "./train-options.js";
import { trainingLoop } from "./training-loop.js";

/**
 * Trains a run to its end, whatever fails on the way. Every step is a transaction:
 *
 *     dispatched ─► computed by all workers (their answers are the votes) ─► committed to the ledger ─► told ─► written as a checkpoint
 *         ├─► copied in the workers' memory                                                                     │
 *         └─► taken for a checkpoint, where one is due ─────────────────────────────────────────────────────────┘
 *
 * Nothing of it holds the next step up: what is taken behind a step is dispatched behind it, and written while later steps are computed. Two checkpoints may be on
 * their way at once; training waits before it takes a third.
 *
 * When an attempt fails, the next gang, under a new epoch, takes the newest state that the ledger vouches for: from the memory of the workers that are left, else
 * from the newest checkpoint of which every byte is right, else from the start; and computes the steps behind it again. Batches are functions of the step
 * and reductions have an order, so that what was committed before comes out the same, which the ledger checks.
 *
 * @throws LAP_STEP_FAILS when one step fails three times; LAP_CHECKPOINT_WRITE when the last checkpoint cannot be written; what no other attempt overcomes;
 * the signal's reason; the reason of `halt`, once the checkpoint is written
 */
export async function trainThroughFaults<A extends TrainingAttempt>(options: TrainOptions<A>): Promise<TrainResult> {
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
  for (;;) {
    signal.throwIfAborted();
    // A checkpoint that is being written is good: let it be finished before its writer is superseded.
    await orAbort(writer.idle(), signal);
    const attempt = new OneAttempt(options, options.claim(), writer, failures, cause);
    try {
      return await attempt.run();
    } catch (error) {
      cause = attempt.settle(error);
    }
  }
}

/** Nothing has failed: the attempt makes room for one with more workers. The loop waits for its checkpoint. */
class Regroup extends Error {}

/** Steps whose mean loss a spike is told by. */
const spikeWindow = 20;

/** A step that would harm the run, and that its guard lets leave out. */
function isHarm(error: LapidaryError, guard: Guard | undefined): boolean {
  return error.code === "LAP_LOSS_SPIKE" || (error.code === "LAP_LOSS_NOT_FINITE" && guard?.not_finite === "skip");
}

/** So many checkpoints may be taken and not written yet: each is a copy of the state. */
const mostCheckpoints = 2;

/** One attempt, under one epoch. */
class OneAttempt<A extends TrainingAttempt> {
  readonly #options: TrainOptions<A>;
  readonly #fence: Fence;
  readonly #writer: CheckpointWriter;
  readonly #failures: FailureCounter;
  /** What ended the attempt before. */
  readonly #cause: LapidaryError | undefined;
  readonly #ledger: Ledger;
  readonly #store: CheckpointStore;
  readonly #copies = new CopyPace();
  /** The step that was dispatched last. */
  #reached = 0;
  /** Whether a checkpoint is due behind the step that was dispatched last. */
  #due = { step: 0, saves: false };
  /** States that were taken, by step, until that is committed and what is to be done behind it is done. */
  readonly #taken = new Map<number, Promise<TakenState>>();
  #lastTaken: number | undefined;
  /** The step behind which something is to be done before the next. */
  #pausing: number | undefined;
  #isReported = false;
  /** The interval between replicas that was reported last. */
  #replicaInterval = 0;
  /** The gang has failed, or is let go. */
  #isOver = false;
  #isNew = false;
  /** What the state was taken from. */
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
    this.#ledger = new Ledger(disk, directory, fence);
    const onDeleted = (step: number): void => events.emit({ type: "checkpoint_deleted", step });
    this.#store = new CheckpointStore({ disk, directory: checkpoints, fence, failpoints, onDeleted });
  }

  /**
   * The attempt has ended by an error: reports how.
   *
   * @returns what the next attempt recovers from; undefined: nothing has failed
   * @throws the error, where no other attempt follows
   */
  settle(error: unknown): LapidaryError | undefined {
    const { signal, halt, events } = this.#options;
    if (signal.aborted) {
      this.#ended("stopped");
      throw signal.reason;
    }
    if (halt.aborted && error === halt.reason) {
      this.#ended("drained");
      throw error;
    }
    if (error instanceof Regroup) {
      this.#ended("regrouped");
      return undefined;
    }
    try {
      if (this.#skips(error)) {
        this.#ended("batch_skipped");
        return error;
      }
    } catch (refused) {
      if (refused instanceof LapidaryError) this.#fail(refused, false);
      throw refused;
    }
    const step = this.#ledger.last + 1;
    const batch = events.batchName(this.#ledger.batchOf(step));
    if (!isRecoverable(error)) {
      if (error instanceof LapidaryError) this.#fail(error, false);
      throw onBatch(error, step, batch);
    }
    this.#report(error);
    this.#failures.count(step, this.#reached >= step, error, batch);
    return error;
  }

  #ended(reason: RunEventOf<"attempt_ended">["reason"]): void {
    this.#options.events.emit({ type: "attempt_ended", attempt: this.#fence.epoch, step: this.#ledger.last, reason });
  }

  #fail(error: LapidaryError, recoverable: boolean): void {
    const [{ events }, attempt] = [this.#options, this.#fence.epoch];
    if (error instanceof EpochStaleError) events.emit({ type: "superseded", attempt, by: error.newest });
    events.emit({ type: "attempt_failed", attempt, step: this.#ledger.last + 1, error: eventError(error), recoverable });
  }

  /** The attempt has failed: reported once, at once, before its gang is let go. */
  #report(error: LapidaryError): void {
    if (this.#isReported) return;
    this.#isReported = true;
    this.#options.goodput.fail();
    this.#fail(error, true);
  }

  /** Whether the batch that the attempt failed on is left out from now on. @throws the error, naming the batch, when enough were */
  #skips(error: unknown): error is LapidaryError {
    const { guard, events } = this.#options;
    if (!(error instanceof LapidaryError) || !isHarm(error, guard) || guard === undefined) return false;
    const next = this.#ledger.last + 1;
    if (this.#ledger.skips.length >= guard.max_skipped)
      throw tooManySkipped(guard.max_skipped, next, events.batchName(this.#ledger.batchOf(next)), error);
    const { skip, step } = this.#ledger.skip(`${error.code}: ${error.message}`);
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
      attempt = await orAbort(opening, signal);
    } catch (error) {
      // Nobody waits for it any more: it goes as soon as it has come.
      opening.then(
        (late) => late.close(false),
        () => undefined,
      );
      throw error;
    }
    const training = this.#train(attempt);
    let keepCopies = false;
    try {
      const result = await orAbort(Promise.race([training, failureOf(attempt)]), signal);
      this.#ended("finished");
      return result;
    } catch (error) {
      if (isRecoverable(error) && !signal.aborted) this.#report(error);
      keepCopies = (isRecoverable(error) || (error instanceof LapidaryError && isHarm(error, this.#options.guard))) && !signal.aborted;
      throw error;
    } finally {
      this.#isOver = true;
      await attempt.close(keepCopies);
      // Without its gang it ends soon, however it was left.
      await training.catch(() => undefined);
    }
  }

  async #train(attempt: A): Promise<TrainResult> {
    const { options, ledger } = { options: this.#options, ledger: this.#ledger };
    const { state } = attempt;
    void attempt.failed.then(() => {
      this.#isOver = true;
    });
    await this.#store.sweep();
    const from = await this.#restore(state);
    this.#begin(from, attempt.layout);
    // What is not in the workers' memory yet is copied before the first step may fail.
    if (from.source !== "replica" && from.step < options.steps) await this.#copy(state, from.step);
    if (from.source === "replica" && from.step > 0 && from.step < options.steps) await this.#makeUp(attempt, from.step);
    options.goodput.enter("step");
    const trained = await trainingLoop({
      programs: { train: (step) => state.train(step, ledger.batchOf(step + 1)) },
      from: from.step,
      steps: options.steps,
      tokensPerStep: options.tokensPerStep,
      signal: options.signal,
      halt: options.halt,
      clock: options.clock,
      ahead: (step) => this.#failures.ahead(step),
      room: (step) => this.#room(step),
      dispatched: (step) => {
        this.#reached = step;
        if (this.#isDue(step)) this.#take(state, step);
        if (step < options.steps && this.#copies.isDue(step)) void this.#copy(state, step).catch(() => undefined);
      },
      commit: (step, metrics) => this.#commit(step, metrics),
      onRow: (row) => {
        this.#copies.stepTook(row.step_ms);
        options.events.row(row, this.#isNew);
        if (row.step !== this.#pausing) this.#write(row.step);
      },
      between: (step) => this.#between(attempt, step),
    });
    await this.#end(attempt, trained.step);
    const checkpoint = this.#lastCheckpoint(trained.step);
    const commits = Array.from({ length: trained.step }, (_, i) => ledger.commitOf(i + 1));
    return {
      loss: commits.at(-1)?.loss ?? trained.loss,
      tokens: commits.reduce((sum, commit) => sum + (commit?.tokens ?? options.tokensPerStep), 0),
      train_ms: trained.train_ms,
      step: trained.step,
      checkpoint,
    };
  }

  #begin({ step, digest, source }: RestoredState, layout: string): void {
    const repeated_steps = Math.max(0, this.#ledger.last - step);
    const { attempt, rewinds } = this.#ledger.begin(step, layout, digest, this.#failures.why);
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
    this.#isNew = this.#ledger.commit(step, metrics);
    goodput.step(this.#isNew);
    failpoints.hit("after-commit", step, "c");
  }

  #refuseSpike(step: number, loss: number): void {
    const factor = this.#options.guard?.spike;
    if (factor === undefined || step <= this.#ledger.last) return;
    const before = Array.from({ length: spikeWindow }, (_, i) => this.#ledger.commitOf(step - 1 - i)?.loss).filter(
      (one) => one !== undefined,
    );
    const mean = before.reduce((sum, one) => sum + one, 0) / before.length;
    if (before.length === spikeWindow && loss > factor * mean) throw lossSpike(step, loss, mean);
  }

  async #copy(state: AttemptState, step: number): Promise<void> {
    const { ms, bytes } = await state.copy(step, this.#ledger.last);
    this.#copies.copyTook(ms);
    const { interval } = this.#copies;
    // Every replica would be an event a step: the first of an attempt counts, and each with another order of interval.
    const isNews = interval >= 2 * this.#replicaInterval || 2 * interval <= this.#replicaInterval;
    if (this.#isOver || !isNews) return;
    this.#replicaInterval = interval;
    this.#options.events.emit({ type: "replica_stored", step, bytes, interval });
  }

  #between(attempt: A, step: number): (() => Promise<void>) | undefined {
    const { options } = { options: this.#options };
    const other = options.between(attempt, step);
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
        await orAbort(this.#writer.idle(), options.signal);
        if (await options.regroups.possible()) throw new Regroup();
      }
      options.goodput.enter("step");
    };
  }

  /** What was due behind the step that the attempt begins with, when the last one ended before it was done. */
  async #makeUp(attempt: A, step: number): Promise<void> {
    if (this.#isDue(step) && !(await this.#store.has(step))) this.#take(attempt.state, step);
    await this.#between(attempt, step)?.();
    this.#write(step);
  }

  /** Asked once for each step: the answer may depend on the time. */
  #isDue(step: number): boolean {
    if (this.#due.step !== step) this.#due = { step, saves: step < this.#options.steps && this.#options.saves(step) };
    return this.#due.saves;
  }

  get #isFull(): boolean {
    return this.#taken.size + this.#writer.outstanding >= mostCheckpoints;
  }

  /** What has to be waited for before a checkpoint of `step` may be taken. */
  #room(step: number): (() => Promise<void>) | undefined {
    if (!this.#isDue(step) || !this.#isFull) return undefined;
    return async () => {
      const { goodput, signal } = this.#options;
      goodput.enter("checkpoint");
      await orAbort(this.#writer.oldest(), signal);
      goodput.enter("step");
    };
  }

  /** Dispatches it: what is dispatched later changes nothing of it. */
  #take(state: AttemptState, step: number): void {
    const taken = state.take(step);
    // It is looked at once the step is committed; by then the attempt may have failed.
    taken.catch(() => undefined);
    this.#taken.set(step, taken);
    this.#lastTaken = step;
  }

  /** Writes the checkpoint of a committed step, if one was taken, while training goes on. */
  #write(step: number): void {
    const taken = this.#taken.get(step);
    if (taken === undefined) return;
    this.#taken.delete(step);
    const digest = this.#ledger.digestAt(step);
    assert(digest !== undefined, "a checkpoint is of a committed step", step, this.#ledger.last);
    let state: TakenState | undefined;
    this.#writer.write({
      step,
      store: this.#store,
      keep: this.#options.keep,
      content: async () => {
        try {
          state = await taken;
        } catch (error) {
          // The next attempt takes its own.
          if (this.#isOver) return undefined;
          throw error;
        }
        // A checkpoint never says more than the ledger and the journal on the disk.
        this.#ledger.sync();
        this.#options.events.sync();
        return state.content(digest);
      },
      done: () => state?.release(),
    });
  }

  async #end(attempt: A, step: number): Promise<void> {
    const { halt, finish, goodput, signal, steps } = this.#options;
    goodput.enter("checkpoint");
    if (this.#source?.manifest.step !== step && this.#lastTaken !== step) {
      while (this.#isFull) await orAbort(this.#writer.oldest(), signal);
      this.#take(attempt.state, step);
      this.#write(step);
    }
    if (step < steps) {
      await orAbort(this.#writer.idle(), signal);
      halt.throwIfAborted();
    }
    goodput.enter("evaluate");
    await finish(attempt);
    goodput.enter("checkpoint");
    await orAbort(this.#writer.idle(), signal);
  }

  async #restore(state: AttemptState): Promise<RestoredState> {
    const { events } = this.#options;
    const remembered = await state.restoreCopies(Math.min(this.#ledger.last, events.reported()));
    if (remembered !== undefined) return { step: remembered, digest: this.#ledger.digestAt(remembered), source: "replica" };
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
