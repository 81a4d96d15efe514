import type { StoredObject } from "@lapidary/data-store";
import { type Clock, formatBytes } from "@lapidary/std";
import type { Plan, Task } from "../plan/plan.js";
import type { RunTimes, TaskTime } from "./run-times.js";

interface StageState {
  readonly stage: string;
  readonly total: number;
  done: number;
  /** Of texts that came in, in this run. */
  bytes: number;
  /** Summed over the processes that computed. */
  busyMs: number;
  slowest: TaskTime | undefined;
}

/** The progress of a run, by stage: one line of text, and times of stages and tasks. */
export class Progress {
  readonly #clock: Clock;
  readonly #show: (phase: string, state: () => string) => void;
  #stages: StageState[] = [];
  readonly #begun = new Map<string, { readonly task: Task; readonly at: number }>();
  /** Bytes of the texts that an object delivers. */
  readonly #delivered = new Map<string, number>();
  #startedAt = 0;
  #hasBegun = false;

  constructor(clock: Clock, show: (phase: string, state: () => string) => void) {
    [this.#clock, this.#show] = [clock, show];
  }

  /** A file of a source is read to find its digest. */
  reading(file: string): void {
    this.#show("read the digests of files", () => file);
  }

  start({ stages, tasks }: Plan): void {
    this.#startedAt = this.#clock.now();
    this.#stages = stages.map(({ stage }, index) => {
      const total = new Set(tasks.filter(({ stageIndex }) => stageIndex === index).map(({ key }) => key)).size;
      return { stage, total, done: 0, bytes: 0, busyMs: 0, slowest: undefined };
    });
    this.#show("run the pipeline", () => this.#text());
  }

  /** Whether the run had a task to compute. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  begin(task: Task): void {
    this.#hasBegun = true;
    this.#begun.set(task.key, { task, at: this.#clock.monotonic() });
  }

  add({ key, stageIndex, stage, shard, partition }: Task, { account }: StoredObject, isNew: boolean): void {
    const state = this.#stages[stageIndex];
    this.#delivered.set(key, account.bytes);
    if (state === undefined) return;
    state.done++;
    if (!isNew) return;
    const now = this.#clock.monotonic();
    const bytes = this.#delivered.get(shard?.view.edits.at(-1) ?? shard?.view.documents ?? key) ?? 0;
    const ms = now - (this.#begun.get(key)?.at ?? now);
    this.#begun.delete(key);
    state.bytes += bytes;
    state.busyMs += ms;
    if (ms >= (state.slowest?.ms ?? 0)) state.slowest = { stage, shard: shard?.shard.name ?? `partition ${partition}`, ms, bytes };
    this.#show("run the pipeline", () => this.#text());
  }

  end(): void {
    this.#begun.clear();
    this.#show("publish", () => this.#text());
  }

  /** `read 3/3 41 MiB/s, rules 1/3`: the bytes of texts for each second of a process. */
  #text(): string {
    return this.#stages
      .map(({ stage, done, total, bytes, busyMs }) => {
        const rate = busyMs > 0 ? ` ${formatBytes((1000 * bytes) / busyMs)}/s` : "";
        return `${stage} ${done}/${total}${rate}`;
      })
      .join(", ");
  }

  /** Tasks of all stages, done and in total. */
  get tasks(): { readonly done: number; readonly total: number } {
    const sum = (of: (state: StageState) => number): number => this.#stages.reduce((all, state) => all + of(state), 0);
    return { done: sum(({ done }) => done), total: sum(({ total }) => total) };
  }

  /** Stages whose tasks are all done. */
  get stagesDone(): number {
    return this.#stages.filter(({ done, total }) => done === total).length;
  }

  /** For the result: MB/s of one process. */
  rates(): Readonly<Record<string, number>> {
    const measured = this.#stages.filter(({ busyMs }) => busyMs > 0);
    return Object.fromEntries(measured.map(({ stage, bytes, busyMs }) => [stage, bytes / 1000 / busyMs]));
  }

  times(): RunTimes {
    const now = this.#clock.monotonic();
    return {
      started_at: this.#startedAt,
      updated_at: this.#clock.now(),
      stages: this.#stages.map(({ busyMs, slowest, ...state }) => ({
        ...state,
        busy_ms: busyMs,
        ...(slowest === undefined ? {} : { slowest }),
      })),
      running: [...this.#begun.values()].map(({ task: { stage, shard, partition }, at }) => ({
        stage,
        shard: shard?.shard.name ?? `partition ${partition}`,
        ms: now - at,
      })),
    };
  }
}
