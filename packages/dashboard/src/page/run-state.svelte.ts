import type { ChipArrays } from "@lapidary/api/frames";
import type { ProgramView } from "@lapidary/api/program-view";
import { parseMesh, type Mesh } from "@lapidary/api/layouts";
import { RunData } from "../model/run-data.js";
import { type TimelineModel, timelineModel } from "../model/timeline.js";
import type { SliceRect } from "../model/torus-layout.js";
import { WorkerHeat } from "../model/worker-heat.js";
import { RequestError, retryMs, type Source } from "./source.js";

/** The state of a run's page, updated until it is closed. */
export class RunState {
  /** Incremented when `data` changes, because it is changed in place; `heatVersion` likewise for `heat`. */
  version = $state(0);
  heatVersion = $state(0);
  data: RunData | undefined = $state.raw(undefined);
  program: ProgramView | undefined = $state.raw(undefined);
  mesh: Mesh | undefined = $state.raw(undefined);
  timeline: TimelineModel | undefined = $state.raw(undefined);
  chips: ChipArrays | undefined = $state.raw(undefined);
  readonly heat = new WorkerHeat();
  connected = $state(true);
  failure: RequestError | undefined = $state.raw(undefined);
  #stop: () => void = () => undefined;
  #closed = false;

  constructor(
    readonly source: Source,
    readonly id: string,
  ) {
    void this.#load();
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  /** Loads the run again after a finished run was resumed. */
  reload(): void {
    if (this.data?.job.finished_at === undefined || this.#closed) return;
    this.data = undefined;
    void this.#load();
  }

  /** The slice of the run; before its placement, the slice that it would get in an empty pod. */
  get slice(): SliceRect | undefined {
    const job = this.data?.job;
    if (job === undefined) return undefined;
    if (job.slice !== undefined) return job.slice;
    const dims = sliceOfJob(job.job);
    return dims === undefined
      ? undefined
      : { pod: 0, pods: Math.max(1, Math.round(job.chips / dims.reduce((a, b) => a * b, 1))), origin: dims.map(() => 0), dims };
  }

  async #load(): Promise<void> {
    try {
      const snapshot = await this.source.snapshot(this.id);
      if (this.#closed) return;
      this.failure = undefined;
      this.data = new RunData(snapshot);
      this.version++;
      this.connected = true;
      this.#follow(this.data);
      await Promise.all([this.#loadProgram(), this.#loadWorkers()]);
    } catch (error) {
      this.#failed(error, () => void this.#load());
    }
  }

  #failed(error: unknown, retry: () => void): void {
    if (this.#closed) return;
    if (!(error instanceof RequestError)) throw error;
    if (error.isUnreachable) {
      this.connected = false;
      setTimeout(retry, retryMs);
    } else this.failure = error;
  }

  async #loadProgram(): Promise<void> {
    if (this.data?.hasProgram !== true || this.program !== undefined) return;
    const program = await this.source.program(this.id);
    this.mesh = parseMesh(program.mesh);
    this.timeline = timelineModel(program);
    this.program = program;
  }

  async #loadWorkers(): Promise<void> {
    const { workers, steps } = await this.source.workerSteps(this.id);
    this.heat.steps = [];
    this.heat.add(workers, steps);
    this.heatVersion++;
  }

  #follow(data: RunData): void {
    this.#stop();
    let wasAway = false;
    this.#stop = this.source.follow(this.id, () => data.lastId, {
      events: (events) => {
        if (!data.apply(events)) return;
        this.version++;
        // The program is compiled before the run is placed. A data pipeline has none.
        if (
          data.job.dataset === undefined &&
          this.program === undefined &&
          (data.job.state === "placing" || data.job.state === "running")
        ) {
          data.hasProgram = true;
          this.#loadProgram().catch((error: unknown) => this.#failed(error, () => undefined));
        }
      },
      frames: (workers, steps) => {
        this.heat.add(workers, steps);
        this.heatVersion++;
      },
      chips: (chips) => (this.chips = chips),
      reset: () => void this.#load(),
      connected: (is) => {
        this.connected = is;
        // Missed frames are not sent again, so load the steps.
        if (is && wasAway) this.#loadWorkers().catch(() => undefined);
        wasAway = !is;
      },
    });
  }
}

function sliceOfJob(job: unknown): number[] | undefined {
  const slice = (job as { slice?: unknown } | null)?.slice;
  if (typeof slice !== "string" || !/^\d+(x\d+)*$/.test(slice)) return undefined;
  return slice.split("x").map(Number);
}
