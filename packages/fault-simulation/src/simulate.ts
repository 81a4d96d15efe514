import { LapidaryError, type Random, assert, noFailpoints, seededRandom } from "@lapidary/std";
import { type Disk, type Fence, RunFence, CheckpointStore, StepLog, readStepLog } from "@lapidary/checkpoint";
import { Goodput, type TrainEvents, type TrainResult, trainWithRecovery } from "@lapidary/trainer";
import type { RunEvent, RunEventOf } from "@lapidary/api/run-events";
import { SimDisk } from "./sim-disk.js";
import { type Bug, SimWorkers, firstState, lossOf, nextState } from "./sim-workers.js";
import { VirtualTime } from "./virtual-time.js";

/** The faults of a run, and its outcome. */
export interface SimulationReport {
  readonly seed: number;
  /** The broken invariant; undefined if all hold. */
  readonly problem: string | undefined;
  readonly faults: readonly string[];
  /** Situations of the run when a fault was injected: which fault, in which state. */
  readonly states: readonly string[];
  /** The reports of the run: the types of its events, and the sources of the states of its attempts. */
  readonly reported: readonly Reported[];
  readonly virtual_ms: number;
}

/** An event of a run, without values that differ between runs. */
export type Reported =
  | { readonly type: Exclude<RunEvent["type"], "state_restored"> }
  | {
      readonly type: "state_restored";
      readonly source: RunEventOf<"state_restored">["source"];
      /** It is the first attempt of a coordinator that took over from one that was killed. */
      readonly isSuccessor: boolean;
    };

const steps = 24;
const workersPerGroup = 3;
const directory = "/run";
const checkpoints = `${directory}/checkpoints`;
const faultKinds = [
  "kill",
  "kill",
  "kill two",
  "freeze",
  "doze",
  "coordinator",
  "coordinator",
  "coordinator and workers",
  "power",
  "second coordinator",
  "disk",
  "flip",
  "poison",
] as const;

/** A coordinator process, reduced to one run. */
interface Process {
  alive: boolean;
  /** It follows one that was killed, whose workers live. */
  readonly succeeds: boolean;
  outcome: TrainResult | LapidaryError | Error | undefined;
}

/**
 * One run with the production code for training, on a virtual clock, a disk that loses unsynced data and workers that die. The seed decides everything:
 * kills, freezes, power cuts, a second coordinator, and disks that fail or corrupt data, at random times. The simulation checks:
 *
 * - safety: each step is in the step log once, with the loss of the fault-free reference run; a checkpoint that was reported survives a power
 *   cut; the last checkpoint has the state of the reference run;
 * - liveness: once faults have ended the run ends too.
 *
 * @param bug a bug to inject, for tests of the simulation
 */
export async function simulate(seed: number, bug: Bug = "none"): Promise<SimulationReport> {
  const random = seededRandom(seed);
  const time = new VirtualTime(random);
  const world = new World(time, random, bug);
  let problem: string | undefined;
  try {
    await world.live();
  } catch (error) {
    problem = error instanceof Error ? `${error.message}` : String(error);
  }
  return { seed, problem, faults: world.faults, states: [...world.states], reported: [...world.reported.values()], virtual_ms: time.now() };
}

class World {
  readonly faults: string[] = [];
  readonly states = new Set<string>();
  /** Each once, by its text. */
  readonly reported = new Map<string, Reported>();
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #bug: Bug;
  readonly #disk: SimDisk;
  readonly #workers: SimWorkers;
  readonly #harmful: ReadonlySet<number>;
  #process: Process | undefined;
  readonly #stale: Process[] = [];
  /** Steps of checkpoints that were reported as written, and not removed since. */
  #announced = 0;
  /** The last step that was reported; steps are reported in order. */
  #reportedStep = 0;
  /** Whether the coordinator dies after it has committed a step and before it has reported the step. */
  #diesUnreported = false;
  #where = "start";

  constructor(time: VirtualTime, random: Random, bug: Bug) {
    this.#time = time;
    this.#random = random;
    this.#bug = bug;
    this.#disk = new SimDisk(time);
    // Every third run has batches that it must skip.
    this.#harmful = new Set(random.integer(3) > 0 ? [] : [random.integer(steps), random.integer(steps)]);
    this.#workers = new SimWorkers(time, workersPerGroup, bug, this.#harmful);
    const formatted = this.#disk.of(() => true);
    formatted.createExclusive(`${checkpoints}/formatted`, "");
    formatted.removeNow(`${checkpoints}/formatted`);
  }

  async live(): Promise<void> {
    this.#start();
    const count = 1 + this.#random.integer(9);
    for (let n = 0; n < count; n++) {
      const moment = this.#time.now() + this.#random.integer(n % 3 === 2 ? 200 : 900);
      this.#time.at(moment - this.#time.now(), () => undefined);
      await this.#time.run(() => this.#time.now() >= moment || this.#process?.outcome !== undefined, 4000);
      if (this.#isDone()) break;
      await this.#fault();
      this.#restartIfEnded();
    }
    this.#disk.broken = undefined;
    for (let restarts = 0; !this.#isDone(); restarts++) {
      assert(
        restarts < 12,
        "the run ends once faults have ended",
        this.#process?.outcome instanceof Error ? this.#process.outcome.message : "nothing happens any more",
      );
      await this.#time.run(() => this.#process?.outcome !== undefined, 6000);
      this.#restartIfEnded();
    }
    await this.#check();
  }

  #isDone(): boolean {
    const outcome = this.#process?.outcome;
    return outcome !== undefined && !(outcome instanceof Error);
  }

  /** A failed run is resumed, by the user or by the next coordinator. */
  #restartIfEnded(): void {
    const outcome = this.#process?.outcome;
    if (!(outcome instanceof Error)) return;
    const allowed = [
      "LAP_EPOCH_STALE",
      "LAP_CHECKPOINT_WRITE",
      "LAP_CHECKPOINT_DAMAGED",
      "LAP_LEDGER_WRITE",
      "LAP_STEP_FAILS",
      "LAP_RECOVERY_FAILS",
    ];
    if (!(outcome instanceof LapidaryError) || !allowed.includes(outcome.code)) throw outcome;
    this.states.add(`ended by ${outcome.code}`);
    if (outcome.code === "LAP_STEP_FAILS") this.#workers.poison.clear();
    this.#workers.endAll();
    this.#start();
  }

  async #fault(): Promise<void> {
    const kind = faultKinds[this.#random.integer(faultKinds.length)] ?? "kill";
    this.faults.push(kind);
    this.states.add(`${kind} ${this.#where}`);
    const rank = this.#random.integer(workersPerGroup);
    switch (kind) {
      case "kill":
        return this.#workers.kill(rank);
      case "kill two":
        this.#workers.kill(rank);
        return this.#workers.kill(rank + 1);
      case "freeze":
        return this.#workers.freeze(rank, 10_000);
      case "doze":
        return this.#workers.freeze(rank, 1500);
      case "coordinator":
        if (this.#random.integer(2) === 0) this.#diesUnreported = true;
        else this.#succeed();
        return;
      case "coordinator and workers":
        this.#endProcess();
        return this.#start();
      case "power":
        this.#endProcess();
        for (const stale of this.#stale) stale.alive = false;
        this.#disk.cutPower();
        await this.#checkAnnounced();
        return this.#start();
      case "second coordinator":
        // The first coordinator does not notice, and continues.
        if (this.#process !== undefined) this.#stale.push(this.#process);
        return this.#start();
      case "disk":
        this.#disk.broken = this.#random.integer(2) === 0 ? "ENOSPC" : "EIO";
        return this.#time.at(400, () => {
          this.#disk.broken = undefined;
        });
      case "flip": {
        // The next process that looks for a checkpoint finds the damage, and loses that one checkpoint.
        const disk = this.#disk.of(() => true);
        const [name] = disk
          .listNow(checkpoints)
          .filter((one) => one.startsWith("step-"))
          .reverse();
        if (name !== undefined && this.#disk.flip(`${checkpoints}/${name}/state`)) this.#announced = 0;
        this.#endProcess();
        return this.#start();
      }
      case "poison":
        this.#workers.poison.set(2 + this.#random.integer(steps - 2), 1 + this.#random.integer(4));
    }
  }

  /** The coordinator dies, its workers live, and another coordinator takes over. */
  #succeed(): void {
    if (this.#process !== undefined) {
      this.#process.alive = false;
      this.#workers.orphan(this.#process);
    }
    this.#start(true);
  }

  #endProcess(): void {
    if (this.#process !== undefined) this.#process.alive = false;
    this.#workers.endAll();
  }

  #start(succeeds = false): void {
    const process: Process = { alive: true, succeeds, outcome: undefined };
    this.#process = process;
    const disk = this.#seen(this.#disk.of(() => process.alive));
    const never = new AbortController().signal;
    const work = trainWithRecovery({
      disk,
      directory,
      checkpoints,
      claim: () => this.#fenceOf(disk),
      open: (epoch) => this.#workers.open(epoch, disk, process),
      steps,
      tokensPerStep: 1,
      keep: 2,
      saves: (step) => step % 3 === 0,
      between: () => undefined,
      finish: () => Promise.resolve(),
      clock: this.#time,
      signal: never,
      drain: never,
      failpoints: noFailpoints,
      goodput: new Goodput(this.#time),
      guard: { not_finite: "skip", max_skipped: 4 },
      events: this.#events(process),
    });
    void work.then(
      (result) => {
        if (process.alive) process.outcome = result;
      },
      (error: unknown) => {
        if (process.alive) process.outcome = error as Error;
      },
    );
  }

  #events(process: Process): TrainEvents {
    let attempts = 0;
    const report = (reported: Reported): void => void this.reported.set(JSON.stringify(reported), reported);
    return {
      emit: (event) => {
        if (event.type === "state_restored") {
          this.#where = `after ${event.source}`;
          return report({ type: event.type, source: event.source, isSuccessor: process.succeeds && attempts++ === 0 });
        }
        report({ type: event.type });
        if (event.type === "attempt_failed") this.#where = "recovering";
        if (event.type !== "checkpoint_written") return;
        this.#announced = event.step;
        this.#where = "after checkpoint";
      },
      row: ({ step }) => {
        if (this.#diesUnreported && process === this.#process) {
          this.#diesUnreported = false;
          return this.#succeed();
        }
        this.#where = "training";
        if (process.alive && step === this.#reportedStep + 1) this.#reportedStep = step;
      },
      reported: () => (this.#bug === "unreported steps dropped" ? steps : this.#reportedStep),
      sync: () => undefined,
      batchName: (batch) => `batch ${batch}`,
    };
  }

  #fenceOf(disk: Disk): Fence {
    const fence = RunFence.claim(disk, directory);
    return this.#bug === "epoch not checked" ? { epoch: fence.epoch, check: () => undefined } : fence;
  }

  /** The disk of the injected bug: nothing is synced before it is reported. */
  #seen(disk: Disk): Disk {
    if (this.#bug !== "commit before sync") return disk;
    return {
      ...disk,
      syncDirectory: () => Promise.resolve(),
      create: async (...what) => ({ ...(await disk.create(...what)), sync: () => Promise.resolve() }),
    };
  }

  /** The newest reported checkpoint, or a newer one, exists and is complete. */
  async #checkAnnounced(): Promise<void> {
    if (this.#announced === 0) return;
    const disk = this.#disk.of(() => true);
    const store = new CheckpointStore({ disk, directory: checkpoints, fence: { epoch: 0, check: () => undefined } });
    let found: number | undefined;
    let looked = false;
    void store
      .newest(() => undefined)
      .then((checkpoint) => {
        found = checkpoint?.manifest.step ?? 0;
        looked = true;
      });
    await this.#time.run(() => looked, 4000);
    assert(found !== undefined && found >= this.#announced, "a checkpoint that was announced survives a power cut", found, this.#announced);
  }

  async #check(): Promise<void> {
    // Older coordinators finish their last events.
    await this.#time.run(() => false, 1500);
    for (const { outcome } of this.#stale) if (outcome instanceof Error && !(outcome instanceof LapidaryError)) throw outcome;
    const disk = this.#disk.of(() => true);
    const { commits } = readStepLog(disk, directory);
    assert(
      commits.map(({ step }) => step).join() === Array.from({ length: steps }, (_, i) => i + 1).join(),
      "each step is committed once",
      commits.map(({ step }) => step),
    );
    let state = Array.from({ length: workersPerGroup }, (_, rank) => firstState(rank));
    let batch = 0;
    for (const { step, loss } of commits) {
      while (this.#harmful.has(batch)) batch++;
      state = nextState(state, batch++);
      assert(loss === lossOf(state), "a step has the loss of the quiet run", step, loss, lossOf(state));
    }
    // The step log opens: a step log that contains a step twice would not.
    assert(new StepLog(disk, directory, { epoch: 0, check: () => undefined }).last === steps, "the step log ends with the last step");
    assert(this.#reportedStep === steps, "each step was reported", this.#reportedStep);
    const result = this.#process?.outcome;
    assert(result !== undefined && !(result instanceof Error), "the run is done");
    const last = new TextDecoder().decode(await immediately(this.#time, disk.read(`${result.checkpoint.path}/state`)));
    assert(last === JSON.stringify(state), "the last checkpoint has the state of the quiet run", last);
  }
}

async function immediately<T>(time: VirtualTime, work: Promise<T>): Promise<T> {
  let done = false;
  void work.then(() => {
    done = true;
  });
  await time.run(() => done, 1000);
  return work;
}
