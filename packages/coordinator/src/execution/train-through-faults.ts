import { type Clock, type Failpoints, LapidaryError, assert } from "@lapidary/std";
import type { TrainRow } from "../api.js";
import { type CheckpointContent, CheckpointStore, type VerifiedCheckpoint } from "../checkpoints/checkpoint-store.js";
import type { Disk } from "../checkpoints/disk.js";
import type { Fence } from "../checkpoints/run-fence.js";
import type { CopyReport } from "../gang/index.js";
import { type Attempt, Ledger, firstDigest } from "../ledger/ledger.js";
import { orAbort } from "./abort.js";
import { CheckpointWriter } from "./checkpoint-writer.js";
import { CopyPace } from "./copy-pace.js";
import type { Goodput } from "./goodput.js";
import { isRecoverable, lossSpike, onBatch, restartsExhausted, stepPoisoned, tooManySkipped } from "./recovery-errors.js";
import type { StepMetrics } from "./run-programs.js";
import { trainingLoop } from "./training-loop.js";

/** The state of a run on the workers of one attempt. */
export interface AttemptState {
  /** Draws the first state. */
  initialize(): Promise<void>;
  /** Takes the state from a checkpoint. */
  load(checkpoint: VerifiedCheckpoint): Promise<void>;
  /** Takes the state from the workers' memory; the update it is behind, or undefined if no whole copy is left. */
  restoreCopies(latest: number): Promise<number | undefined>;
  copy(step: number, committed: number): Promise<CopyReport>;
  /** Step number `step`, from 0, on batch number `batch`. */
  train(step: number, batch: number): Promise<StepMetrics>;
  /** Takes the state as it is behind all that was dispatched: sends at once, and resolves when it is here. */
  take(step: number): Promise<TakenState>;
}

/** The state behind a step, outside of the workers. */
export interface TakenState {
  /** What a checkpoint of it holds. @param ledger digest at its step */
  content(ledger: string): CheckpointContent;
  /** Nobody needs it any more. */
  release(): void;
}

/** A gang that trains under one epoch. */
export interface TrainingAttempt {
  readonly state: AttemptState;
  /** What decides in which order numbers are added. Equal layouts compute equal bits. */
  readonly layout: string;
  /** Settles, and never rejects, when the gang has failed. */
  readonly failed: Promise<LapidaryError>;
  /** @param keepCopies whether the next attempt may want what the workers remember */
  close(keepCopies: boolean): Promise<void>;
}

export interface TrainOptions<A extends TrainingAttempt> {
  readonly disk: Disk;
  /** Of the run. */
  readonly directory: string;
  readonly checkpoints: string;
  /** Takes over the run's files: every earlier attempt is refused from then on. */
  readonly claim: () => Fence;
  /** A gang with its programs loaded, under a new epoch. */
  readonly open: (epoch: number) => Promise<A>;
  readonly steps: number;
  readonly tokensPerStep: number;
  readonly keep: number;
  /** Whether a checkpoint is due behind a step, besides the last. */
  readonly saves: (step: number) => boolean;
  /** What else is to be done behind a step. */
  readonly between: (attempt: A, step: number) => (() => Promise<void>) | undefined;
  /** Whether another attempt should have more workers than this one; and, asked behind a checkpoint, whether it could. */
  readonly regroups?: { readonly wanted: () => boolean; readonly possible: () => Promise<boolean> };
  /** What is left to be done with the state behind the last step, before the gang is let go. */
  readonly finish: (attempt: A) => Promise<void>;
  readonly clock: Clock;
  /** Ends everything at once. */
  readonly signal: AbortSignal;
  /** Ends training in good order: behind the steps under way, with a checkpoint. */
  readonly halt: AbortSignal;
  readonly failpoints: Failpoints;
  readonly goodput: Goodput;
  /** What is done about batches that harm the run; undefined: a loss that is no number ends it. */
  readonly guard?: Guard | undefined;
  readonly news: TrainNews;
}

export interface Guard {
  readonly not_finite: "stop" | "skip";
  /** A loss so many times the mean of the last steps is a spike. */
  readonly spike?: number | undefined;
  /** Batches that may be left out in all. */
  readonly most: number;
}

/** What happens on the way. */
export interface TrainNews {
  readonly row: (row: TrainRow, isNew: boolean) => void;
  /** The last step whose row was told, whoever told it: a coordinator that is killed may have committed one more. */
  readonly told: () => number;
  readonly began: (attempt: Attempt, source: "start" | "workers' memory" | "checkpoint") => void;
  readonly failed: (step: number, error: LapidaryError) => void;
  readonly checkpoint: (checkpoint: VerifiedCheckpoint) => void;
  readonly checkpointRefused: (step: number, error: LapidaryError) => void;
  readonly checkpointDamaged: (error: LapidaryError) => void;
  readonly skipped: (step: number, batch: number, error: LapidaryError) => void;
  /** What was told of steps so far is to survive a power cut, for a checkpoint is about to say that they are done. */
  readonly sync: () => void;
  readonly batchName: (batch: number) => string;
}

export interface TrainResult {
  readonly loss: number;
  /** Targets that counted, over all committed steps. */
  readonly tokens: number;
  readonly train_ms: number;
  readonly step: number;
  readonly checkpoint: VerifiedCheckpoint;
}

/** The same step may fail so often. */
const mostFailures = 3;
/** So many attempts in a row may fail before they train at all. */
const mostRestarts = 8;

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
  const { news, signal } = options;
  const writer = new CheckpointWriter({ written: news.checkpoint, refused: news.checkpointRefused });
  const trouble = new Trouble();
  for (;;) {
    signal.throwIfAborted();
    // A checkpoint that is being written is good: let it be finished before its writer is superseded.
    await orAbort(writer.idle(), signal);
    const attempt = new OneAttempt(options, options.claim(), writer, trouble);
    try {
      return await attempt.run();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Regroup || attempt.skips(error)) continue;
      const { step, trained, batch } = attempt.at;
      if (!isRecoverable(error)) throw onBatch(error, step, news.batchName(batch));
      attempt.tell(error);
      trouble.count(step, trained, error, news.batchName(batch));
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

/** Counts what goes wrong without anything being won in between. */
class Trouble {
  #step = 0;
  #failures = 0;
  #restarts = 0;
  why: string | undefined;

  /** @param trained whether the attempt had come to this step: otherwise it failed on the way there, and the step has nothing to do with it */
  count(step: number, trained: boolean, error: LapidaryError, batch: string): void {
    this.why = error.message;
    if (step !== this.#step) [this.#failures, this.#restarts] = [0, 0];
    this.#step = step;
    if (trained && ++this.#failures >= mostFailures) throw stepPoisoned(step, this.#failures, batch, error);
    if (!trained && ++this.#restarts >= mostRestarts) throw restartsExhausted(this.#restarts, error);
  }

  /** A step that has failed is tried alone, so that it is known which it was. */
  ahead(step: number): number {
    return this.#failures > 0 && step >= this.#step && step < this.#step + stepsWatched ? 1 : ordinaryAhead;
  }
}

/** Steps under way at once: workers go on to the next while the results of the last are still on their way here. */
const ordinaryAhead = 4;
const stepsWatched = 8;

/** So many checkpoints may be taken and not written yet: each is a copy of the state. */
const mostCheckpoints = 2;

/** One attempt, under one epoch. */
class OneAttempt<A extends TrainingAttempt> {
  readonly #options: TrainOptions<A>;
  readonly #fence: Fence;
  readonly #writer: CheckpointWriter;
  readonly #trouble: Trouble;
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
  #told = false;
  /** The gang has failed, or is let go. */
  #isOver = false;
  #isNew = false;
  /** What the state was taken from. */
  #source: VerifiedCheckpoint | undefined;

  constructor(options: TrainOptions<A>, fence: Fence, writer: CheckpointWriter, trouble: Trouble) {
    this.#options = options;
    this.#fence = fence;
    this.#writer = writer;
    this.#trouble = trouble;
    this.#ledger = new Ledger(options.disk, options.directory, fence);
    this.#store = new CheckpointStore({ disk: options.disk, directory: options.checkpoints, fence, failpoints: options.failpoints });
  }

  /** The step that is to be committed next. */
  get at(): { readonly step: number; readonly trained: boolean; readonly batch: number } {
    const step = this.#ledger.last + 1;
    return { step, trained: this.#reached >= step, batch: this.#ledger.batchOf(step) };
  }

  /** The attempt has failed: told once, at once, before its gang is let go. */
  tell(error: LapidaryError): void {
    if (this.#told) return;
    this.#told = true;
    this.#options.goodput.fail();
    this.#options.news.failed(this.at.step, error);
  }

  /** Whether the batch that the attempt failed on is left out from now on. @throws the error, naming the batch, when enough were */
  skips(error: unknown): error is LapidaryError {
    const { guard, news } = this.#options;
    if (!(error instanceof LapidaryError) || !isHarm(error, guard) || guard === undefined) return false;
    if (this.#ledger.skips.length >= guard.most) throw tooManySkipped(guard.most, this.at.step, news.batchName(this.at.batch), error);
    const { skip, step } = this.#ledger.skip(`${error.code}: ${error.message}`);
    this.#options.goodput.fail();
    news.skipped(step, skip, error);
    return true;
  }

  async run(): Promise<TrainResult> {
    const { open, signal } = this.#options;
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
      return await orAbort(Promise.race([training, failureOf(attempt)]), signal);
    } catch (error) {
      if (isRecoverable(error) && !signal.aborted) this.tell(error);
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
    options.news.began(ledger.begin(from.step, attempt.layout, from.digest, this.#trouble.why), from.source);
    // What is not in the workers' memory yet is copied before the first step may fail.
    if (from.source !== "workers' memory" && from.step < options.steps) await this.#copy(state, from.step);
    if (from.source === "workers' memory" && from.step > 0 && from.step < options.steps) await this.#makeUp(attempt, from.step);
    options.goodput.enter("step");
    const trained = await trainingLoop({
      programs: { train: (step) => state.train(step, ledger.batchOf(step + 1)) },
      from: from.step,
      steps: options.steps,
      tokensPerStep: options.tokensPerStep,
      signal: options.signal,
      halt: options.halt,
      clock: options.clock,
      ahead: (step) => this.#trouble.ahead(step),
      room: (step) => this.#room(step),
      dispatched: (step) => {
        this.#reached = step;
        if (this.#isDue(step)) this.#take(state, step);
        if (step < options.steps && this.#copies.isDue(step)) void this.#copy(state, step).catch(() => undefined);
      },
      commit: (step, metrics) => this.#commit(step, metrics),
      onRow: (row) => {
        this.#copies.stepTook(row.step_ms);
        options.news.row(row, this.#isNew);
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
    const { ms } = await state.copy(step, this.#ledger.last);
    this.#copies.copyTook(ms);
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
        this.#options.news.sync();
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

  async #restore(
    state: AttemptState,
  ): Promise<{ readonly step: number; readonly digest: string | undefined; readonly source: "start" | "workers' memory" | "checkpoint" }> {
    const { news } = this.#options;
    const remembered = await state.restoreCopies(Math.min(this.#ledger.last, news.told()));
    if (remembered !== undefined) return { step: remembered, digest: this.#ledger.digestAt(remembered), source: "workers' memory" };
    const checkpoint = await this.#store.newest(news.checkpointDamaged, this.#options.steps);
    if (checkpoint !== undefined) {
      await state.load(checkpoint);
      this.#source = checkpoint;
      return { step: checkpoint.manifest.step, digest: checkpoint.manifest.ledger, source: "checkpoint" };
    }
    await state.initialize();
    return { step: 0, digest: firstDigest, source: "start" };
  }
}

async function failureOf(attempt: TrainingAttempt): Promise<never> {
  throw await attempt.failed;
}
