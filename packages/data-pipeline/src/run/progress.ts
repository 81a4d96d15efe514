import type { StoredObject } from "@lapidary/data-store";
import { type Clock, formatBytes } from "@lapidary/std";
import type { Plan, Task } from "../plan/plan.js";

interface StageState {
  readonly stage: string;
  readonly total: number;
  done: number;
  /** Of texts that this run delivered. */
  bytes: number;
  firstMs: number | undefined;
  lastMs: number | undefined;
}

/** The progress of a run, by stage, as one line of text. */
export class Progress {
  readonly #clock: Clock;
  readonly #show: (phase: string, state: () => string) => void;
  #stages: StageState[] = [];
  #startedMs = 0;

  constructor(clock: Clock, show: (phase: string, state: () => string) => void) {
    [this.#clock, this.#show] = [clock, show];
  }

  /** A file of a source is read to find its digest. */
  reading(file: string): void {
    this.#show("read the digests of files", () => file);
  }

  start({ stages, tasks }: Plan): void {
    this.#startedMs = this.#clock.monotonic();
    this.#stages = stages.map(({ stage }, index) => {
      const total = new Set(tasks.filter(({ stageIndex }) => stageIndex === index).map(({ key }) => key)).size;
      return { stage, total, done: 0, bytes: 0, firstMs: undefined, lastMs: undefined };
    });
    this.#show("run the pipeline", () => this.#text());
  }

  add({ stageIndex }: Task, { account }: StoredObject, isNew: boolean): void {
    const state = this.#stages[stageIndex];
    if (state === undefined) return;
    state.done++;
    if (!isNew) return;
    const now = this.#clock.monotonic();
    state.bytes += account.bytes;
    state.firstMs ??= this.#startedMs;
    state.lastMs = now;
    this.#show("run the pipeline", () => this.#text());
  }

  end(): void {
    this.#show("publish", () => this.#text());
  }

  /** `read 3/3 41 MiB/s, rules 1/3` */
  #text(): string {
    return this.#stages
      .map(({ stage, done, total, bytes, firstMs, lastMs }) => {
        const seconds = firstMs === undefined || lastMs === undefined ? 0 : (lastMs - firstMs) / 1000;
        const rate = seconds > 0 ? ` ${formatBytes(bytes / seconds)}/s` : "";
        return `${stage} ${done}/${total}${rate}`;
      })
      .join(", ");
  }
}
