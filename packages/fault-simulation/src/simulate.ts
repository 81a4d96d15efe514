import { CheckpointStore, readStepLog, type VerifiedCheckpoint } from "@lapidary/checkpoint";
import type { RunEvent } from "@lapidary/api/run-events";
import { assert, ensure, LapidaryError, type Random, seededRandom } from "@lapidary/std";
import { decodeSafetensors } from "@lapidary/interop";
import type { TrainResult } from "@lapidary/trainer";
import { Coverage } from "./coverage.js";
import { faultKinds, type FaultKind } from "./fault-kinds.js";
import { SimCoordinator } from "./sim-coordinator.js";
import { SimDisk } from "./sim-disk.js";
import { heldoutBatches, type SimJob, stateFile } from "./sim-job.js";
import { SimJournal } from "./sim-journal.js";
import { SimMachine, type SimWorkerProcess } from "./sim-machine.js";
import { SimNetwork } from "./sim-network.js";
import { firstState, heldoutLoss, nextState, simPrograms, type SimPrograms } from "./sim-programs.js";
import { VirtualTime } from "./virtual-time.js";

/** A schedule of faults, and its outcome. */
export interface SimulationReport {
  readonly seed: number;
  /** The broken invariant; undefined if all hold. */
  readonly problem: string | undefined;
  readonly faults: readonly FaultKind[];
  /** Situations and transitions that occurred. */
  readonly coverage: Coverage;
  readonly virtual_ms: number;
  readonly events: number;
}

/** Faults of one schedule: a random number up to this. */
const maxFaults = 7;
/** Once faults have ended, every run ends within this time. */
const recovery_ms = 400_000;
/** Longer than everything that a simulation waits for. */
const forever_ms = 10 * recovery_ms;
/** Coordinators that may be started once faults have ended. */
const maxRestarts = 8;
/** Steps that a drained run may still commit: those in flight, and those that it repeats after a failure. */
const maxAfterDrain = 5;
/** Codes of errors that end a run which can be resumed. */
const resumable: readonly string[] = [
  "LAP_EPOCH_STALE",
  "LAP_CHECKPOINT_WRITE",
  "LAP_CHECKPOINT_DAMAGED",
  "LAP_LEDGER_WRITE",
  "LAP_STEP_FAILS",
  "LAP_RECOVERY_FAILS",
  "LAP_WORKER_START",
];

const known = new Map<number, SimPrograms>();
const programsFor = (chips: number): SimPrograms => {
  const programs = known.get(chips) ?? simPrograms(chips);
  known.set(chips, programs);
  return programs;
};

/**
 * Several runs at once with the production code for workers, worker groups, recovery, step logs and checkpoints: on a virtual clock, a network that
 * delays, cuts and partitions, processes that die and hang, and a disk that loses unsynced data. The seed decides everything. The simulation checks:
 *
 * - safety: each step of each run is committed once and reported once, with the loss of the fault-free run; each due evaluation is reported once,
 *   with its value; a checkpoint that was reported survives a power cut; the last checkpoint has the state of the fault-free run
 * - liveness: once faults have ended, every run ends
 * - no leak: after the last run no worker process, connection or timer is left
 */
export async function simulate(seed: number): Promise<SimulationReport> {
  const random = seededRandom(seed);
  const time = new VirtualTime(random);
  const world = new World(time, random);
  let problem: string | undefined;
  try {
    await world.live();
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  return { seed, problem, faults: world.faults, coverage: world.coverage, virtual_ms: time.now(), events: time.happened };
}

class World {
  readonly faults: FaultKind[] = [];
  readonly coverage = new Coverage();
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #disk: SimDisk;
  readonly #network: SimNetwork;
  readonly #machine: SimMachine;
  readonly #jobs: readonly SimJob[];
  readonly #done = new Map<SimJob, TrainResult>();
  readonly #poison = new Map<number, number>();
  readonly #lease_s: number;
  readonly #spares: number;
  #coordinator: SimCoordinator | undefined;
  /** Coordinators that another one has superseded, and that may still run. */
  readonly #stale: SimCoordinator[] = [];
  /** Steps of checkpoints that were reported and not damaged since. */
  readonly #announced = new Map<SimJob, number>();
  /** Whether the coordinator dies after it has committed a step and before it has reported the step. */
  #diesUnreported = false;
  /** When the next coordinator starts. */
  #startsAt = 0;
  #homes = 0;
  /** By run: the coordinator that was drained last, and the step that the run had reported then. */
  readonly #drained = new Map<SimJob, { readonly coordinator: SimCoordinator; readonly step: number }>();
  /** Whether the power was cut, and the checkpoints that were reported are to be checked. */
  #mustCheckAnnounced = false;

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
    this.#disk = new SimDisk(time);
    this.#network = new SimNetwork(time);
    this.#machine = new SimMachine(time, this.#network, this.#disk, {
      fails: (batch) => this.#fails(batch),
      readCost_ms: [0, 0, 0.2, 1][random.integer(4)] ?? 0,
      run_ms: 4 + random.integer(12),
    });
    this.#lease_s = [0, 2, 5][random.integer(3)] ?? 0;
    this.#spares = random.integer(2);
    this.#jobs = Array.from({ length: 1 + random.integer(3) }, (_, i) => this.#makeJob(i));
  }

  async live(): Promise<void> {
    this.#start();
    const count = this.#random.integer(maxFaults + 1);
    for (let n = 0; n < count && !this.#isDone(); n++) {
      await this.#runFor(this.#random.integer([300, 300, 80, 1500][this.#random.integer(4)] ?? 0));
      if (this.#isDone()) break;
      this.#fault();
      if (this.#mustCheckAnnounced) await this.#checkAnnounced();
      this.#mustCheckAnnounced = false;
    }
    this.#disk.broken = undefined;
    this.#machine.refusesProcesses = false;
    const end = this.#time.now() + recovery_ms;
    for (let restarts = 0; !this.#isDone(); ) {
      const left = end - this.#time.now();
      assert(left > 0 && restarts < maxRestarts, "every run ends once faults have ended", this.#whatRuns());
      await this.#time.run(() => this.#isDone() || !this.#hasCoordinator, left);
      this.#checkCrashes();
      if (!this.#isDone() && !this.#hasCoordinator) {
        restarts++;
        await this.#runFor(Math.max(0, this.#startsAt - this.#time.now()));
        if (!this.#hasCoordinator) this.#start();
      }
    }
    await this.#checkLeaks();
    for (const job of this.#jobs) await this.#checkJob(job);
  }

  #makeJob(number: number): SimJob {
    const random = this.#random;
    const steps = 6 + random.integer(7);
    const workers = [1, 2, 2, 3, 3, 4][random.integer(6)] ?? 1;
    const directory = `/home/runs/run-${number}`;
    // A directory exists once it had a file. Production makes the directory of a run durable before it answers the submission.
    const disk = this.#disk.of(() => true);
    disk.createExclusive(`${directory}/checkpoints/formatted`, "");
    disk.removeNow(`${directory}/checkpoints/formatted`);
    for (const path of ["/", "/home", "/home/runs", directory]) disk.syncDirectoryNow(path);
    return {
      id: `run-${number}`,
      directory,
      programs: programsFor(workers),
      workers,
      steps,
      saveEvery: 2 + random.integer(4),
      evalEvery: 3 + random.integer(3),
      harmful: new Set(random.integer(3) > 0 ? [] : [random.integer(steps), random.integer(steps)]),
      journal: new SimJournal(),
    };
  }

  #isDone(): boolean {
    return this.#done.size === this.#jobs.length;
  }

  get #hasCoordinator(): boolean {
    return this.#coordinator?.process.isAlive === true;
  }

  #whatRuns(): string {
    const left = this.#jobs.filter((job) => !this.#done.has(job)).map(({ id, journal }) => `${id} after step ${journal.lastStep}`);
    return `${left.join(", ")}; coordinator ${this.#hasCoordinator ? "alive" : "dead"}`;
  }

  /** Runs for a time; starts the next coordinator when it is due. */
  async #runFor(ms: number): Promise<void> {
    const end = this.#time.now() + ms;
    while (this.#time.now() < end && !this.#isDone()) {
      const isDead = (): boolean => !this.#hasCoordinator;
      if (isDead() && this.#time.now() >= this.#startsAt) this.#start();
      const until = isDead() ? Math.min(end, this.#startsAt) : end;
      const wasDead = isDead();
      await this.#time.run(() => this.#isDone() || isDead() !== wasDead, until - this.#time.now());
      this.#checkCrashes();
      if (this.#time.now() < until && isDead() === wasDead && !this.#isDone()) return;
    }
  }

  #start(home = this.#coordinator?.home ?? "/home/0"): void {
    const jobs = this.#jobs.filter((job) => !this.#done.has(job));
    if (jobs.length === 0) return;
    this.coverage.add("state", "a coordinator starts");
    this.#coordinator = new SimCoordinator({
      machine: this.#machine,
      jobs,
      home,
      lease_s: this.#lease_s,
      spares: this.#spares,
      onEvent: (job, event) => this.#onEvent(job, event),
      onEnded: (coordinator, job, outcome) => this.#onEnded(coordinator, job, outcome),
      diesUnreported: (coordinator) => {
        if (!this.#diesUnreported || coordinator !== this.#coordinator) return false;
        this.#diesUnreported = false;
        this.#killCoordinator();
        return true;
      },
    });
  }

  #onEvent(job: SimJob, event: RunEvent): void {
    this.coverage.event(job.id, event);
    if (event.type === "checkpoint_written") this.#announced.set(job, event.step);
  }

  #onEnded(coordinator: SimCoordinator, job: SimJob, outcome: TrainResult | Error): void {
    if (!(outcome instanceof Error)) {
      const drained = this.#drained.get(job);
      if (drained?.coordinator === coordinator && job.steps > drained.step + maxAfterDrain)
        this.#machine.crashes.push(new Error(`a drained run stops: ${job.id} went from step ${drained.step} to its end`));
      if (coordinator === this.#coordinator || !this.#done.has(job)) this.#done.set(job, outcome);
      this.coverage.add("end", "finished");
      return;
    }
    const code = outcome instanceof LapidaryError ? outcome.code : outcome.message;
    this.coverage.add("end", code);
    if (code === "drained") return;
    if (!(outcome instanceof LapidaryError) || !resumable.includes(code)) {
      this.#machine.crashes.push(outcome);
      return;
    }
    // Faults kill fewer workers than attempts may fail in a row. Only a machine that starts no process can make them fail.
    if (code === "LAP_RECOVERY_FAILS" && !(outcome.cause instanceof LapidaryError && outcome.cause.code === "LAP_WORKER_START"))
      this.#machine.crashes.push(outcome);
    if (code === "LAP_STEP_FAILS") this.#poison.clear();
  }

  #fails(batch: number): boolean {
    const left = this.#poison.get(batch) ?? 0;
    if (left <= 0) return false;
    this.#poison.set(batch, left - 1);
    return true;
  }

  #killCoordinator(): void {
    this.#coordinator?.process.kill();
    this.#startsAt = this.#time.now() + this.#random.integer(this.#random.integer(3) === 0 ? 8000 : 600);
  }

  #fault(): void {
    const kind = ensure(faultKinds[this.#random.integer(faultKinds.length)], "fault");
    this.faults.push(kind);
    for (const job of this.#jobs) this.coverage.add("fault", `${kind}, ${this.coverage.where(job.id)}`);
    this.#inject(kind);
  }

  #inject(kind: FaultKind): void {
    const random = this.#random;
    const worker = this.#pick(this.#machine.living);
    const coordinator = this.#coordinator?.process;
    switch (kind) {
      case "kill a worker":
        return worker?.process.kill();
      case "kill two workers":
        worker?.process.kill();
        return this.#pick(this.#machine.living)?.process.kill();
      case "suspend a worker":
        return worker?.process.suspend([2000, 10_000, forever_ms][random.integer(3)] ?? 0);
      case "hang a worker":
        return worker?.main.hang([1000, 60_000, forever_ms][random.integer(3)] ?? 0);
      case "suspend the coordinator":
        return coordinator?.suspend(500 + random.integer(8000));
      case "kill the coordinator":
        if (random.integer(2) === 0) this.#diesUnreported = true;
        else this.#killCoordinator();
        return;
      case "kill the coordinator and its workers":
        this.#killCoordinator();
        return this.#killWorkers();
      case "cut the power":
        return this.#cutPower();
      case "start a second coordinator":
        if (this.#coordinator?.process.isAlive === true) this.#stale.push(this.#coordinator);
        return this.#start(`/home/${++this.#homes}`);
      case "drain":
        return this.#drain();
      case "break the disk":
        this.#disk.broken = random.integer(2) === 0 ? "ENOSPC" : "EIO";
        return this.#later(400, () => (this.#disk.broken = undefined));
      case "flip a bit of a checkpoint":
        return this.#flip();
      case "make a step fail":
        return void this.#poison.set(random.integer(6), 1 + random.integer(8));
      case "refuse new processes":
        this.#machine.refusesProcesses = true;
        worker?.process.kill();
        return this.#later(500 + random.integer(4000), () => (this.#machine.refusesProcesses = false));
      case "cut a connection":
        return this.#pick([...this.#network.connections])?.cut();
      case "mute a connection":
        return this.#pick([...this.#network.connections])?.mute(random.integer(2) === 0 ? 0 : 1);
      case "slow a connection":
        return this.#pick([...this.#network.connections])?.slow(3000);
      case "partition": {
        const [a, b] = [this.#pick(this.#processes()), this.#pick(this.#processes())];
        if (a !== undefined && b !== undefined) this.#network.partition(a, b, 200 + random.integer(6000));
        return;
      }
    }
  }

  #processes(): SimWorkerProcess["process"][] {
    const coordinator = this.#coordinator?.process;
    return [...(coordinator === undefined ? [] : [coordinator]), ...this.#machine.living.map(({ process }) => process)];
  }

  #pick<T>(from: readonly T[]): T | undefined {
    return from[this.#random.integer(Math.max(1, from.length))];
  }

  #later(ms: number, work: () => void): void {
    this.#time.at(ms, work);
  }

  #killWorkers(): void {
    for (const { process } of this.#machine.living) process.kill();
  }

  #cutPower(): void {
    this.#killCoordinator();
    for (const { process } of this.#stale) process.kill();
    this.#killWorkers();
    this.#disk.cutPower();
    for (const job of this.#jobs) job.journal.cutPower(this.#random);
    this.#mustCheckAnnounced = true;
  }

  /** SIGTERM. The coordinator may be alive without runs, because it closes its pool. */
  #drain(): void {
    const coordinator = this.#coordinator;
    if (coordinator?.process.isAlive !== true) return;
    coordinator.drain();
    for (const job of this.#jobs) this.#drained.set(job, { coordinator, step: job.journal.lastStep });
  }

  /** The next process that looks for a checkpoint finds the damage, and loses that one checkpoint. */
  #flip(): void {
    const job = this.#pick(this.#jobs);
    if (job === undefined) return;
    const disk = this.#disk.of(() => true);
    const [name] = disk
      .listNow(`${job.directory}/checkpoints`)
      .filter((one) => one.startsWith("step-"))
      .reverse();
    if (name === undefined || this.#done.has(job)) return;
    if (this.#disk.flip(`${job.directory}/checkpoints/${name}/${stateFile}`)) this.#announced.delete(job);
    this.#killCoordinator();
    this.#killWorkers();
  }

  #checkCrashes(): void {
    const wanted = this.#jobs.reduce((sum, { workers }) => sum + workers, 0) + this.#spares;
    // A group that recovers has new workers while the old ones end. Each home has workers of its own.
    const most = (2 * wanted + 2) * (1 + this.#homes);
    assert(this.#machine.living.length <= most, "workers that a group returned are used again", this.#machine.living.length, most);
    const [crash] = this.#machine.crashes;
    if (crash !== undefined) throw crash;
  }

  /** After the last run, processes, connections, sockets and timers end. */
  async #checkLeaks(): Promise<void> {
    for (const { process } of this.#stale) process.kill();
    // A suspended process cannot notice the end of its lease.
    for (const { process } of this.#machine.living) process.resume();
    const leases_ms = 1000 * this.#lease_s + 90_000;
    await this.#time.run(() => false, leases_ms);
    this.#checkCrashes();
    assert(!this.#hasCoordinator, "a coordinator without runs ends");
    const left = this.#machine.living.map(({ process }) => process.name);
    assert(left.length === 0, "no worker process is left after the last run", left);
    assert(this.#network.connections.size === 0, "no connection is left after the last run", this.#network.connections.size);
    assert(this.#network.listeners.length === 0, "no process listens after the last run", this.#network.listeners);
  }

  async #checkJob(job: SimJob): Promise<void> {
    const { id, journal, steps, directory, harmful } = job;
    const disk = this.#disk.of(() => true);
    const { commits, attempts } = readStepLog(disk, directory);
    assert(
      attempts.every(({ attempt }, i) => i === 0 || attempt > ensure(attempts[i - 1], "attempt").attempt),
      `every attempt of ${id} has an epoch of its own, larger than all before`,
      attempts.map(({ attempt }) => attempt),
    );
    const expected = Array.from({ length: steps }, (_, i) => i + 1);
    assert(
      commits.map(({ step }) => step).join() === expected.join(),
      `each step of ${id} is committed once`,
      commits.map(({ step }) => step),
    );
    assert(
      commits.every(({ epoch }, i) => epoch >= (commits[i - 1]?.epoch ?? 0)),
      `no attempt of ${id} commits after a later one`,
    );
    const workers = journal.workersBySteps();
    const rewinds = journal.entries.some(({ kind }) => kind === "rewind");
    const rows = journal.entries.flatMap((entry) => (entry.kind === "row" ? [entry.step] : []));
    if (!rewinds) assert(rows.join() === expected.join(), `each step of ${id} is reported once`, rows);
    let w = firstState(job.programs.size);
    let batch = 0;
    const states = [w];
    for (const { step, loss } of commits) {
      while (harmful.has(batch)) batch++;
      const next = nextState(w, batch++, ensure(workers[step - 1], "workers"));
      assert(loss === next.loss, `a step of ${id} has the loss of the fault-free run`, step, loss, next.loss);
      w = next.w;
      states.push(w);
    }
    const due = expected.filter((step) => step === steps || step % job.evalEvery === 0);
    const evaluations = journal.entries.flatMap((entry) => (entry.kind === "eval" ? [entry] : []));
    assert(
      evaluations.map(({ step }) => step).join() === due.join(),
      `each due evaluation of ${id} is reported once`,
      evaluations.map(({ step }) => step),
      due,
    );
    for (const { step, loss } of rewinds ? [] : evaluations) {
      // An evaluation may run on the workers of a later attempt.
      const possible = [job.workers, ensure(workers[step - 1], "workers"), workers[step] ?? 1, 1, 2, 3].map((n) =>
        job.programs.size % n === 0 ? heldoutLoss(ensure(states[step], "state"), n, heldoutBatches) : Number.NaN,
      );
      assert(possible.includes(loss), `an evaluation of ${id} has the value of the fault-free run`, step, loss, possible[0]);
    }
    const result = ensure(this.#done.get(job), "result");
    const stored = await this.#immediately(disk.read(`${result.checkpoint.path}/${stateFile}`));
    const state = decodeSafetensors(ensure(stored, "last checkpoint"), stateFile);
    assert(
      [...ensure(state.get("w"), "w").data].join() === [...w].join(),
      `the last checkpoint of ${id} has the state of the fault-free run`,
    );
    assert(state.get("step")?.data[0] === steps, `the last checkpoint of ${id} has counted every step`, state.get("step")?.data[0]);
  }

  /** The newest reported checkpoint, or a newer one, exists and is complete. */
  async #checkAnnounced(): Promise<void> {
    const disk = this.#disk.of(() => true);
    for (const [job, announced] of this.#announced) {
      const store = new CheckpointStore({
        disk,
        directory: `${job.directory}/checkpoints`,
        fence: { epoch: 0, check: () => undefined },
      });
      const found: VerifiedCheckpoint | undefined = await this.#immediately(store.newest(() => undefined));
      assert(
        (found?.manifest.step ?? 0) >= announced,
        "a checkpoint that was reported survives a power cut",
        job.id,
        found?.manifest.step,
        announced,
      );
    }
  }

  async #immediately<T>(work: Promise<T>): Promise<T> {
    let done = false;
    void work.then(
      () => (done = true),
      () => (done = true),
    );
    await this.#time.run(() => done, 10_000);
    return work;
  }
}
