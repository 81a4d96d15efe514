import type { StoredObject } from "@lapidary/data-store";
import { type Clock, formatBytes } from "@lapidary/std";
import type { Plan, Task } from "../plan/plan.js";

interface StageState {
  readonly stage: string;
  readonly total: number;
  done: number;
  /** Of texts that came in, in this run. */
  bytes: number;
  /** Summed over the processes that computed. */
  busyMs: number;
}

/** The progress of a run, by stage, as one line of text. */
export class Progress {
  readonly #clock: Clock;
  readonly #show: (phase: string, state: () => string) => void;
  #stages: StageState[] = [];
  readonly #begun = new Map<string, number>();
  /** Bytes of the texts that an object delivers. */
  readonly #delivered = new Map<string, number>();

  constructor(clock: Clock, show: (phase: string, state: () => string) => void) {
    [this.#clock, this.#show] = [clock, show];
  }

  /** A file of a source is read to find its digest. */
  reading(file: string): void {
    this.#show("read the digests of files", () => file);
  }

  start({ stages, tasks }: Plan): void {
    this.#stages = stages.map(({ stage }, index) => {
      const total = new Set(tasks.filter(({ stageIndex }) => stageIndex === index).map(({ key }) => key)).size;
      return { stage, total, done: 0, bytes: 0, busyMs: 0 };
    });
    this.#show("run the pipeline", () => this.#text());
  }

  begin({ key }: Task): void {
    this.#begun.set(key, this.#clock.monotonic());
  }

  add({ key, stageIndex, shard }: Task, { account }: StoredObject, isNew: boolean): void {
    const state = this.#stages[stageIndex];
    this.#delivered.set(key, account.bytes);
    if (state === undefined) return;
    state.done++;
    if (!isNew) return;
    const now = this.#clock.monotonic();
    state.bytes += this.#delivered.get(shard?.view.edits.at(-1) ?? shard?.view.documents ?? key) ?? 0;
    state.busyMs += now - (this.#begun.get(key) ?? now);
    this.#show("run the pipeline", () => this.#text());
  }

  end(): void {
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

  /** For the result: MB/s of one process. */
  rates(): Readonly<Record<string, number>> {
    const measured = this.#stages.filter(({ busyMs }) => busyMs > 0);
    return Object.fromEntries(measured.map(({ stage, bytes, busyMs }) => [stage, bytes / 1000 / busyMs]));
  }
}
