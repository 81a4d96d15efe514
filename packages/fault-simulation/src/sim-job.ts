import type { RunEvent } from "@lapidary/api/run-events";
import { type Disk, type Fence, RunFence } from "@lapidary/checkpoint";
import type { WorkerGroup } from "@lapidary/cluster";
import type { WorkerManager } from "@lapidary/coordinator/worker-manager";
import type { Runtime } from "@lapidary/fabric";
import { decodeSafetensors } from "@lapidary/interop";
import { type ArrayData, epochOf } from "@lapidary/protocol";
import { assert, ensure, LapidaryError, noFailpoints } from "@lapidary/std";
import {
  type Evaluation,
  Goodput,
  HeldoutEvaluations,
  RunPrograms,
  type RunSteps,
  release,
  Staging,
  startWorkers,
  type TrainEvents,
  type TrainingAttempt,
  type TrainResult,
  trainWithRecovery,
  WorkerCountPolicy,
} from "@lapidary/trainer";
import type { SimJournal } from "./sim-journal.js";
import type { SimPrograms } from "./sim-programs.js";

/** A job of the simulation, and what its earlier executions left. */
export interface SimJob {
  readonly id: string;
  readonly directory: string;
  readonly programs: SimPrograms;
  readonly workers: number;
  readonly steps: number;
  /** Steps between two checkpoints. */
  readonly saveEvery: number;
  /** Steps between two evaluations. */
  readonly evalEvery: number;
  /** Batches on which the loss is NaN. */
  readonly harmful: ReadonlySet<number>;
  readonly journal: SimJournal;
}

/** Held-out batches of an evaluation. */
export const heldoutBatches = 2;

/** File of a checkpoint with the state. */
export const stateFile = "state.safetensors";

export interface ExecutionOptions {
  readonly job: SimJob;
  readonly runtime: Runtime;
  readonly manager: WorkerManager;
  /** The disk of the coordinator that executes the job. */
  readonly disk: Disk;
  readonly signal: AbortSignal;
  readonly drain: AbortSignal;
  readonly onEvent: (event: RunEvent) => void;
  /** Called when a step is committed and before it is reported. @returns whether the coordinator died there */
  readonly diesUnreported: () => boolean;
}

const scalar = (value: number): ArrayData => ({ dtype: "f32", dims: [], data: Float32Array.of(value) });

/** The steps of a simulated run: one program, whose batch is a number. */
const stepsOf = ({ harmful }: SimJob): RunSteps => ({
  stepProgram: "train_step",
  batchArrays: [],
  open: async (run) => {
    const states = [...run.states];
    const update = await run.load("train_step", {
      consumes: [...states, "batch"],
      creates: states,
      scalars: ["loss", "tokens_counted"],
    });
    return {
      step: async (step, batch) => {
        const put = update.put("batch", scalar(harmful.has(batch) ? Number.NaN : batch));
        const [, { scalars }] = await Promise.all([put, update.run({ step, update: true })]);
        return { loss: ensure(scalars.get("loss"), "loss"), tokens_counted: ensure(scalars.get("tokens_counted"), "tokens") };
      },
      evaluate: async (batches): Promise<Evaluation> => {
        const evaluation = await run.load("eval_step", { consumes: ["heldout"], creates: [], scalars: ["loss_sum"] });
        const sums = Array.from({ length: batches }, async (_, i) => {
          const put = evaluation.put("heldout", scalar(i + 1));
          const [, { scalars }] = await Promise.all([put, evaluation.run({ step: i })]);
          return ensure(scalars.get("loss_sum"), "loss");
        });
        return { loss: (await Promise.all(sums)).reduce((a, b) => a + b, 0) / batches, tokens: batches };
      },
    };
  },
});

/** The worker group of an attempt, with the programs of the run. */
class SimAttempt implements TrainingAttempt {
  readonly failed: Promise<LapidaryError>;
  readonly state: TrainingAttempt["state"];
  readonly layout: string;

  constructor(
    readonly group: WorkerGroup,
    readonly programs: RunPrograms,
    staging: Staging,
    private readonly record: Pick<ExecutionOptions, "job" | "disk" | "onEvent">,
  ) {
    this.failed = group.failed;
    this.layout = `${group.size} workers`;
    this.state = {
      initialize: () => programs.initialize(),
      load: async ({ path }) => {
        const stored = ensure(await record.disk.read(`${path}/${stateFile}`), "state");
        for (const [name, array] of decodeSafetensors(stored, path)) await programs.putState(name, array);
      },
      restoreReplicas: (latest) => programs.restoreReplicas(latest),
      replicate: (step, committed) => programs.replicate(step, committed),
      train: (step, batch) => programs.train(step, batch),
      capture: async (step) => {
        const { files, release: free } = await staging.capture();
        const about = { run: record.job.id, step, time: 0, mesh: "-", zero: 0, workers: group.size, program: "p" } as const;
        return { content: (ledger) => ({ about: { ...about, ledger }, files }), release: free };
      },
    };
  }

  async close(keepReplicas: boolean): Promise<void> {
    await release(this.group, { record: this.record.onEvent }, keepReplicas);
  }
}

/** Executes a job with the production code of runs: worker groups, recovery, step log, checkpoints, evaluations. */
export function executeJob(options: ExecutionOptions): Promise<TrainResult> {
  const { job, runtime, manager, disk, onEvent } = options;
  const { clock } = runtime;
  const record = { id: job.id, record: onEvent, log: () => undefined };
  const workerCount = new WorkerCountPolicy(job.workers);
  const evaluations = new HeldoutEvaluations<RunPrograms>({
    steps: job.steps,
    every: job.evalEvery,
    reported: job.journal.evaluated,
    evaluate: (programs) => programs.evaluate(heldoutBatches),
    report: (step, { loss }) => job.journal.add({ kind: "eval", step, loss }),
  });
  let workers = 0;
  const open = async (epoch: number): Promise<SimAttempt> => {
    const group = await startWorkers(record, workerCount, (group) => manager.startGroup(record, group), {
      mesh: job.programs.mesh,
      epoch: epochOf(epoch),
      stallAfterMs: stall_ms,
    });
    try {
      workers = group.size;
      const states = [
        { name: "w", role: "param" },
        { name: "step", role: "optimizer" },
      ] as const;
      const programs = await RunPrograms.load(group, { programs: job.programs.programs, states }, stepsOf(job), undefined);
      const tensors = states.map(({ name }) => ({ name, state: name }));
      const staging = await Staging.open(programs, [{ name: stateFile, tensors }]);
      return new SimAttempt(group, programs, staging, options);
    } catch (error) {
      await release(group, record, true);
      throw error;
    }
  };
  return trainWithRecovery<SimAttempt>({
    disk,
    directory: job.directory,
    checkpoints: `${job.directory}/checkpoints`,
    claim: (): Fence => RunFence.claim(disk, job.directory),
    open,
    steps: job.steps,
    tokensPerStep: 1,
    keep: 2,
    saves: (step) => step % job.saveEvery === 0,
    between: ({ programs }, step, fence) => evaluations.after(programs, step, fence),
    finish: ({ programs }, fence) => evaluations.atEnd(programs, fence),
    regroups: {
      wanted: () => workerCount.missing > 0,
      possible: async () => {
        if (!(await manager.hasWorkers(workerCount.missing, "f32"))) return false;
        workerCount.complete();
        return true;
      },
    },
    clock,
    signal: options.signal,
    drain: options.drain,
    failpoints: noFailpoints,
    goodput: new Goodput(clock),
    guard: { not_finite: "skip", max_skipped: 4 },
    events: eventsOf(options, () => workers),
  });
}

/** A worker group hangs after so long without an answer. */
const stall_ms = 4000;

function eventsOf({ job: { journal }, onEvent, diesUnreported }: ExecutionOptions, workers: () => number): TrainEvents {
  return {
    emit: (event) => {
      if (event.type === "state_restored" && event.rewinds && event.step < journal.lastStep)
        journal.add({ kind: "rewind", step: event.step });
      onEvent(event);
    },
    row: ({ step, loss }) => {
      if (diesUnreported() || step <= journal.lastStep) return;
      assert(step === journal.lastStep + 1, "steps are reported in order", step, journal.lastStep);
      journal.add({ kind: "row", step, loss, workers: workers() });
    },
    reported: () => journal.lastStep,
    sync: () => journal.sync(),
    batchName: (batch) => `batch ${batch}`,
  };
}
