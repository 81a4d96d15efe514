import { updateCount } from "@lapidary/protocol";
import { LapidaryError, assert, hash32, ensure } from "@lapidary/std";
import type { CheckpointContent, VerifiedCheckpoint, Disk } from "@lapidary/checkpoint";
import type { StepMetrics, TrainingAttempt } from "@lapidary/trainer";
import type { VirtualTime } from "./virtual-time.js";

/** A replica of a block in the memory of a worker process. */
interface BlockReplica {
  readonly step: number;
  readonly rank: number;
  readonly value: number;
}

/** A worker process, dead or alive, and its replicas from earlier worker groups. */
class SimWorker {
  alive = true;
  /** A frozen process answers when it is awake again. */
  awakeAt = 0;
  replicas: BlockReplica[] = [];
  /** The current worker group, which is notified of its end. */
  group: SimWorkerGroup | undefined;
}

/** The state of a run is one number for each worker. A step mixes it with the number of the batch and with the numbers of the other workers. */
export const firstState = (rank: number): number => hash32(rank, 17);

export function nextState(state: readonly number[], batch: number): number[] {
  const all = state.reduce((sum, value) => hash32(sum, value), batch);
  return state.map((value) => hash32(value, all));
}

export const lossOf = (state: readonly number[]): number => state.reduce((sum, value) => sum + value, 0) / 2 ** 33;

export const bugs = [
  "none",
  "commit before sync",
  "epoch not checked",
  "replica not refreshed",
  "uncommitted replicas restored",
  "unreported steps dropped",
] as const;
export type Bug = (typeof bugs)[number];

/** A coordinator process, which has worker groups. */
export interface Owner {
  readonly alive: boolean;
}

/** The workers of a machine, and the worker groups of coordinators. */
export class SimWorkers {
  readonly #time: VirtualTime;
  readonly #size: number;
  readonly #bug: Bug;
  readonly #pool: SimWorker[] = [];
  /** Worker groups that can fail, newest last. */
  readonly #groups = new Set<SimWorkerGroup>();
  /** Steps that fail on any worker, and the number of remaining failures. */
  readonly poison = new Map<number, number>();

  /** Batches on which the loss is NaN. */
  readonly harmful: ReadonlySet<number>;

  constructor(time: VirtualTime, size: number, bug: Bug, harmful: ReadonlySet<number>) {
    this.harmful = harmful;
    this.#time = time;
    this.#size = size;
    this.#bug = bug;
  }

  /** A worker of the newest worker group dies. */
  kill(rank: number): void {
    const group = [...this.#groups].at(-1);
    if (group === undefined) return;
    const worker = ensure(group.workers[rank % this.#size], "worker");
    worker.alive = false;
    // The exit of a process is reported within half a second.
    this.#time.at(this.#time.random.next() * 500, () => worker.group?.fail(lost(rank)));
  }

  /** A worker stops answering for `ms`; the deadline evicts it. */
  freeze(rank: number, ms: number): void {
    const group = [...this.#groups].at(-1);
    if (group === undefined) return;
    const worker = ensure(group.workers[rank % this.#size], "worker");
    worker.awakeAt = this.#time.now() + ms;
    if (ms > 3000)
      this.#time.at(3100, () => {
        worker.alive = false;
        worker.group?.fail(lost(rank));
      });
  }

  /**
   * A coordinator has died. Its workers leave their worker groups, and wait for the next coordinator with their replicas. They have received more
   * requests than the coordinator has answers, and execute some of them.
   */
  orphan(owner: Owner): void {
    this.#time.at(this.#time.random.next() * 150, () => {
      for (const group of this.#groups)
        if (group.owner === owner) {
          this.#groups.delete(group);
          group.fail(lost(0));
          this.#pool.push(...group.workers);
        }
    });
  }

  /** All workers end. */
  endAll(): void {
    for (const worker of [...this.#pool.splice(0), ...[...this.#groups].flatMap(({ workers }) => workers)]) worker.alive = false;
    this.#groups.clear();
  }

  async open(epoch: number, disk: Disk, owner: Owner): Promise<SimWorkerGroup> {
    await this.#time.pass(300);
    // A dead coordinator opens nothing.
    if (!owner.alive) return new Promise(() => undefined);
    const workers = this.#pool
      .splice(0)
      .filter(({ alive }) => alive)
      .slice(-this.#size);
    while (workers.length < this.#size) workers.push(new SimWorker());
    const group = new SimWorkerGroup({
      time: this.#time,
      workers,
      epoch,
      owner,
      disk,
      bug: this.#bug,
      poison: this.poison,
      harmful: this.harmful,
      give: (left) => {
        this.#groups.delete(group);
        this.#pool.push(...left);
      },
    });
    for (const worker of workers) worker.group = group;
    this.#groups.add(group);
    return group;
  }
}

interface SimWorkerGroupOptions {
  readonly time: VirtualTime;
  readonly workers: readonly SimWorker[];
  readonly epoch: number;
  readonly owner: Owner;
  readonly disk: Disk;
  readonly bug: Bug;
  readonly poison: Map<number, number>;
  readonly harmful: ReadonlySet<number>;
  /** Takes the workers back into the pool. */
  readonly give: (workers: SimWorker[]) => void;
}

class SimWorkerGroup implements TrainingAttempt {
  readonly layout = "simulated";
  readonly failed: Promise<LapidaryError>;
  #failure: LapidaryError | undefined;
  #resolve: (error: LapidaryError) => void = () => undefined;
  private readonly time: VirtualTime;
  readonly workers: readonly SimWorker[];
  readonly epoch: number;
  readonly owner: Owner;
  private readonly disk: Disk;
  private readonly bug: Bug;
  private readonly poison: Map<number, number>;
  private readonly harmful: ReadonlySet<number>;
  private readonly give: (workers: SimWorker[]) => void;
  /** The state after all messages so far. */
  #state: number[] = [];
  /** Messages are executed one after the other. */
  #queue: Promise<void> = Promise.resolve();

  constructor({ time, workers, epoch, owner, disk, bug, poison, harmful, give }: SimWorkerGroupOptions) {
    this.time = time;
    this.workers = workers;
    this.epoch = epoch;
    this.owner = owner;
    this.disk = disk;
    this.bug = bug;
    this.poison = poison;
    this.harmful = harmful;
    this.give = give;
    this.failed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  fail(error: LapidaryError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#resolve(error);
  }

  async close(keepReplicas: boolean): Promise<void> {
    // A dead worker reports nothing.
    if (!this.owner.alive) return;
    this.fail(lost(0));
    await this.time.pass(20);
    if (!this.owner.alive) return;
    const left = this.workers.filter(({ alive }) => alive);
    if (!keepReplicas) for (const worker of left) worker.replicas = [];
    this.give(left);
  }

  /** Sends one message to all workers, in order. */
  #request<T>(most_ms: number, work: () => T): Promise<T> {
    const before = this.#queue;
    const answer = (async (): Promise<T> => {
      await before.catch(() => undefined);
      await this.time.pass(most_ms);
      for (const worker of this.workers)
        while (worker.alive && worker.awakeAt > this.time.now()) await new Promise<void>((resolve) => this.time.at(100, resolve));
      if (this.#failure !== undefined) throw this.#failure;
      // A dead worker answers nothing: the worker group is notified of its end.
      if (this.workers.some(({ alive }) => !alive)) throw await this.failed;
      return work();
    })();
    this.#queue = answer.then(
      () => undefined,
      () => undefined,
    );
    answer.catch(() => undefined);
    return answer;
  }

  readonly state: TrainingAttempt["state"] = {
    initialize: () => this.#request(20, () => void (this.#state = this.workers.map((_, rank) => firstState(rank)))),
    load: async (checkpoint: VerifiedCheckpoint) => {
      const text = ensure(await this.disk.read(`${checkpoint.path}/state`), "state");
      await this.#request(20, () => void (this.#state = JSON.parse(new TextDecoder().decode(text)) as number[]));
    },
    restoreReplicas: (latest) =>
      this.#request(20, () => {
        if (this.bug !== "uncommitted replicas restored")
          for (const worker of this.workers) worker.replicas = worker.replicas.filter(({ step }) => step <= latest);
        const held = this.workers.flatMap(({ replicas }) => replicas);
        const steps = [...new Set(held.map(({ step }) => step))].filter((step) =>
          this.workers.every((_, rank) => held.some((replica) => replica.step === step && replica.rank === rank)),
        );
        if (steps.length === 0) return undefined;
        const step = Math.max(...steps);
        this.#state = this.workers.map(
          (_, rank) =>
            ensure(
              held.find((replica) => replica.step === step && replica.rank === rank),
              "replica",
            ).value,
        );
        return step;
      }),
    replicate: (step, committed) =>
      this.#request(5, () => {
        const value = (rank: number, holder: SimWorker): number => {
          // The injected bug: a neighbour's block is replicated once, and afterwards only its step changes.
          const old =
            this.bug === "replica not refreshed"
              ? holder.replicas.find((replica) => replica.rank === rank && !isOwn(holder, rank))
              : undefined;
          return old?.value ?? ensure(this.#state[rank], "block");
        };
        const isOwn = (holder: SimWorker, rank: number): boolean => this.workers[rank] === holder;
        this.workers.forEach((worker, rank) => {
          const before = (rank + this.workers.length - 1) % this.workers.length;
          const fresh = [rank, before].map((of) => ({ step, rank: of, value: value(of, worker) }));
          const newest = Math.max(...worker.replicas.map((replica) => replica.step).filter((of) => of <= committed), -1);
          worker.replicas = [...worker.replicas.filter((replica) => replica.step >= newest && replica.step !== step), ...fresh];
        });
        return { step: updateCount(step), bytes: 8, ms: 1 };
      }),
    train: (step, batch) =>
      this.#request(100, (): StepMetrics => {
        // On this batch the loss is NaN on all workers.
        if (this.harmful.has(batch)) return { loss: Number.NaN, grad_norm: 1, learning_rate: 1, tokens_counted: 1 };
        const left = this.poison.get(step + 1) ?? 0;
        if (left > 0) {
          this.poison.set(step + 1, left - 1);
          const error = new LapidaryError({
            code: "LAP_WORKER_KERNEL",
            message: "a kernel failed",
            location: `step ${step + 1}`,
            remedy: "none",
          });
          this.fail(error);
          throw error;
        }
        this.#state = nextState(this.#state, batch);
        return { loss: lossOf(this.#state), grad_norm: 1, learning_rate: 1, tokens_counted: 1 };
      }),
    capture: (step) =>
      this.#request(20, () => {
        const bytes = new TextEncoder().encode(JSON.stringify(this.#state));
        assert(this.#state.length > 0, "a state is there");
        const workers = this.workers.length;
        return {
          content: (ledger): CheckpointContent => ({
            about: { run: "simulated", step, time: 0, mesh: "-", zero: 0, workers, program: "p", ledger },
            files: new Map([["state", [["state", bytes]]]]),
          }),
          release: (): void => undefined,
        };
      }),
  };
}

function lost(rank: number): LapidaryError {
  return new LapidaryError({ code: "LAP_WORKER_LOST", message: `worker ${rank} was ended by SIGKILL`, remedy: "none" });
}
